// Where recordings come from: a server, or a static folder. Both answer the same paths below `api/`; the folder answers
// nothing else.

import { readSafetensors, type TensorFile } from "./safetensors";
import type { Failure, SiteInfo } from "./types";

export class SourceError extends Error {
  constructor(
    readonly failure: Failure,
    readonly status: number,
  ) {
    super(failure.message);
    this.name = "SourceError";
  }
}

export interface Source {
  readonly base: string;
  readonly site: SiteInfo;
  json<T>(path: string): Promise<T>;
  text(path: string): Promise<string>;
  tensors(path: string): Promise<TensorFile>;
  // The address of a picture.
  url(path: string): string;
  // null where nothing can be computed.
  readonly server: Server | null;
}

export interface Server {
  send<T>(method: "POST" | "DELETE", path: string, body?: unknown): Promise<T>;
  ask(path: string, body: unknown): Promise<TensorFile>;
  events(path: string): EventSource;
}

class Folder implements Source {
  readonly server: Server | null = null;
  private readonly kept = new Map<string, Promise<TensorFile>>();

  constructor(
    readonly base: string,
    readonly site: SiteInfo,
  ) {}

  url(path: string): string {
    return this.base + path;
  }

  async json<T>(path: string): Promise<T> {
    return (await (await reached(this.url(path))).json()) as T;
  }

  async text(path: string): Promise<string> {
    return (await reached(this.url(path))).text();
  }

  // Map files never change under their version, so each is asked for once in a visit.
  tensors(path: string): Promise<TensorFile> {
    let known = this.kept.get(path);
    if (!known) {
      known = reached(this.url(path)).then(async (answer) => readSafetensors(await answer.arrayBuffer()));
      known.catch(() => this.kept.delete(path));
      this.kept.set(path, known);
      if (this.kept.size > 400) this.kept.delete(this.kept.keys().next().value!);
    }
    return known;
  }
}

class Served extends Folder {
  override readonly server: Server = {
    send: async <T>(method: string, path: string, body?: unknown): Promise<T> =>
      (await (await reached(this.url(path), request(method, body))).json()) as T,
    ask: async (path, body) => readSafetensors(await (await reached(this.url(path), request("POST", body))).arrayBuffer()),
    events: (path) => new EventSource(this.url(path)),
  };
}

function request(method: string, body: unknown): RequestInit {
  if (body === undefined) return { method };
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function reached(url: string, options?: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, options);
  } catch {
    throw new SourceError({ class: "Unreachable", code: "unreachable", message: "The server does not answer." }, 0);
  }
  if (answer.ok) return answer;
  const body = (await answer.json().catch(() => null)) as { error?: Failure } | null;
  const failure = body?.error ?? { class: "HttpError", code: "http", message: `${answer.status} ${answer.statusText}` };
  throw new SourceError(failure, answer.status);
}

export async function openSource(base = ""): Promise<Source> {
  const site = (await (await reached(`${base}api/site.json`)).json()) as SiteInfo;
  return site.static ? new Folder(base, site) : new Served(base, site);
}
