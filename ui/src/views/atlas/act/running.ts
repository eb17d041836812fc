// Jobs that the atlas has started. Followed outside of the components, so that they go on while other panels are looked at.

import { create } from "zustand";
import type { Source } from "../../../api/source";
import type { Failure, Job, JobRequest, JobResult } from "../../../api/types";
import { cancelJob, follow, type LiveJob } from "../../../state/jobs";
import { useAct } from "./store";
import { asEdits, type HeadEdit } from "./work";

export interface HeadRow {
  rank: number;
  rank_best: number | null;
  rank_worst: number | null;
  site: string;
  head: number;
  effect: number;
  low: number | null;
  high: number | null;
  outside: number | null;
  control: number | null;
  seeds: number;
  state: "top" | "rest" | "open";
}

export interface Ranking {
  target: string;
  word: string | null;
  where: string | null;
  unit: string;
  top: number;
  settled: boolean;
  seeds: readonly number[];
  skipped: readonly number[];
  drawn: number;
  full: number;
  heads: readonly HeadRow[];
}

export interface Variation {
  index: number;
  strength: number | null;
  seed: number | null;
  says: string;
  base: string;
  picture: string;
  change: { mean: number; noticed: number };
}

// How a job stands that draws many pictures.
export interface Many {
  id: string;
  state: "waiting" | "running" | "done" | "failed" | "cancelled";
  done: number;
  of: number;
  error: Failure | null;
}

export interface Search extends Many {
  label: string; // whose heads are sought
  ranking: Ranking | null; // after the last whole seed
  effects: ReadonlyMap<string, readonly number[]>; // by cell: as they come, seed by seed
}

export interface Strip extends Many {
  kind: "strengths" | "seeds";
  variations: readonly Variation[];
}

interface RunningState {
  run: string | null; // whose jobs these are
  draw: LiveJob | null;
  strip: Strip | null;
  find: Search | null;
  starting: "draw" | "strip" | "find" | null; // sent, and not answered yet
  error: Error | null;
}

const NOTHING: RunningState = { run: null, draw: null, strip: null, find: null, starting: null, error: null };
export const useRunning = create<RunningState>()(() => NOTHING);
const stops = new Set<() => void>();

// Another recording: what runs goes on at the server, and is not followed any more.
export function forgetOthers(run: string): void {
  if (useRunning.getState().run === run) return;
  for (const stop of stops) stop();
  stops.clear();
  useRunning.setState({ ...NOTHING, run });
}

export const busy = (job: Many | null): boolean => job !== null && (job.state === "waiting" || job.state === "running");
export const stopJob = (source: Source, id: string): Promise<unknown> => cancelJob(source, id).catch(() => undefined);
const start = (source: Source, body: unknown): Promise<Job> => source.server!.send<Job>("POST", "api/jobs", body);

export async function startDrawing(source: Source, run: string, edits: readonly HeadEdit[], control: boolean, layers: string, says: string): Promise<void> {
  forgetOthers(run);
  useRunning.setState({ error: null, starting: "draw" });
  try {
    const body: JobRequest = { kind: "edit", run, edits: asEdits(edits), control };
    const { id } = await start(source, body);
    const stop = follow(source, id, (job) => {
      useRunning.setState({ draw: job, starting: null });
      const made = job.state === "done" ? (job.result as JobResult | null)?.runs?.[0] : undefined;
      if (made && useAct.getState().run === run) useAct.getState().add({ run: made, control: job.result?.control ?? null, layers, says });
    });
    stops.add(stop);
  } catch (error) {
    useRunning.setState({ error: error as Error, starting: null });
  }
}

export async function startStrip(source: Source, run: string, edits: readonly HeadEdit[], kind: Strip["kind"], values: readonly number[]): Promise<void> {
  forgetOthers(run);
  useRunning.setState({ error: null, starting: "strip" });
  try {
    const { id } = await start(source, { kind: "strip", run, edits, [kind]: values });
    let strip: Strip = { ...fresh(id, values.length), kind, variations: [] };
    useRunning.setState({ strip, starting: null });
    listen(source, id, (name, data) => {
      strip = { ...strip, ...after(strip, name, data) };
      if (name === "drawn") strip = { ...strip, variations: [...strip.variations, data as unknown as Variation].sort((a, b) => a.index - b.index) };
      useRunning.setState({ strip });
    });
  } catch (error) {
    useRunning.setState({ error: error as Error, starting: null });
  }
}

export interface Wanted {
  word?: string | null;
  region?: string | null;
  mask_png?: string | null;
  sites: string | null;
  seeds: number | null;
}

export async function startSearch(source: Source, run: string, wanted: Wanted, label: string): Promise<void> {
  forgetOthers(run);
  useRunning.setState({ error: null, starting: "find" });
  try {
    const { id } = await start(source, { kind: "heads", run, ...wanted });
    let find: Search = { ...fresh(id, 0), label, ranking: null, effects: new Map() };
    useRunning.setState({ find, starting: null });
    listen(source, id, (name, data) => {
      find = afterSearchEvent(find, name, data);
      useRunning.setState({ find });
    });
  } catch (error) {
    useRunning.setState({ error: error as Error, starting: null });
  }
}

const fresh = (id: string, of: number): Many => ({ id, state: "waiting", done: 0, of, error: null });

export function after(job: Many, name: string, data: Record<string, unknown>): Many {
  switch (name) {
    case "started":
    case "loading":
      return { ...job, state: "running" };
    case "work":
      return { ...job, state: "running", done: data.done as number, of: data.of as number };
    case "done":
    case "cancelled":
      return { ...job, state: name };
    case "failed":
      return { ...job, state: "failed", error: data.error as Failure };
    default:
      return job;
  }
}

export function afterSearchEvent(find: Search, name: string, data: Record<string, unknown>): Search {
  const next = { ...find, ...after(find, name, data) };
  if (name === "effect") {
    const id = `${data.site as string}/${data.head as number}`;
    return { ...next, effects: new Map(find.effects).set(id, [...(find.effects.get(id) ?? []), data.inside as number]) };
  }
  if (name === "ranking") return { ...next, ranking: data as unknown as Ranking };
  if (name === "done" && data.result) return { ...next, ranking: data.result as Ranking };
  return next;
}

const EVENTS = ["queued", "started", "loading", "work", "effect", "ranking", "drawn", "note", "done", "failed", "cancelled"];

// The browser reconnects by itself and misses nothing; after the last event nothing more comes.
function listen(source: Source, id: string, tell: (name: string, data: Record<string, unknown>) => void): void {
  const stream = source.server!.events(`api/jobs/${encodeURIComponent(id)}/events`);
  const close = () => stream.close();
  stops.add(close);
  for (const name of EVENTS) {
    stream.addEventListener(name, (event) => {
      tell(name, JSON.parse((event as MessageEvent<string>).data) as Record<string, unknown>);
      if (name === "done" || name === "failed" || name === "cancelled") close();
    });
  }
}
