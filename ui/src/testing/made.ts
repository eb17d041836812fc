// What tests of components share: a small recording with known numbers, and a source that answers from a table.

import type { Source } from "../api/source";
import type { Job, RunDetail, SiteInfo, Word, Words } from "../api/types";
import type { Series } from "../maps/series";
import type { Question } from "../state/question";
import { heatAt, type Recording, type WordMaps } from "../state/run";
import { EVERYTHING, type Selection } from "../selection";
import type { RunView } from "../views/explore/view";

export const SITE: SiteInfo = { name: "diffuscope", version: "0", static: false, read_only: false, needs_token: false, example: null, heads: true, atlas: true, limits: null };

export interface Sent {
  method: string;
  path: string;
  body: unknown;
}

// Answers GETs from a table, and keeps what is sent; `served: false` is a static folder.
export function madeSource({ answers = {}, served = true, site = {} }: { answers?: Record<string, unknown>; served?: boolean; site?: Partial<SiteInfo> } = {}): Source & { sent: Sent[] } {
  const sent: Sent[] = [];
  const answer = async <T>(path: string): Promise<T> => {
    const key = path.split("?")[0]!;
    if (!(key in answers)) throw new Error(`nothing at ${path}`);
    return answers[key] as T;
  };
  return {
    sent,
    base: "",
    site: { ...SITE, static: !served, ...site },
    url: (path) => path,
    json: answer,
    text: answer,
    tensors: answer,
    server: served
      ? {
          send: async (method, path, body) => {
            sent.push({ method, path, body });
            return answer(path);
          },
          ask: async (path) => answer(path),
          events: () => ({ addEventListener: () => undefined, close: () => undefined }) as unknown as EventSource,
        }
      : null,
  };
}

export const madeWord = (index: number, label: string, kind: Word["kind"], start: number | null): Word => ({
  index, label, text: label.split("#")[0]!, kind, tokens: [index + 1], start, end: start === null ? null : start + label.split("#")[0]!.length,
});

// "a red circle, a <b>ring": labels, kinds and places as the server gives them.
export function madeWords(prompt: string): Words {
  const small = new Set(["a", "the", "of", "and", "in", "left", "on"]);
  const seen = new Map<string, number>();
  const words = [...prompt.matchAll(/\w+/g)].map((match, index) => {
    const text = match[0];
    const count = (seen.get(text) ?? 0) + 1;
    seen.set(text, count);
    const kind = small.has(text) ? ("function" as const) : ("content" as const);
    return { ...madeWord(index, text, kind, match.index), label: count === 1 ? text : `${text}#${count}` };
  });
  return { prompt, cut: null, tokens: [], words: [...words, madeWord(words.length, "<start>", "special", null)] };
}

export const STEPS = 4;

export function madeRun(more: Partial<RunDetail> = {}): RunDetail {
  const timetable = Array.from({ length: STEPS }, (_, index) => ({ index, timestep: 999 - index, sigma: null, log_snr: index - 2, attended: true, preview: false }));
  return {
    id: "run", prompt: "", negative_prompt: null, created: "2026-01-01T00:00:00Z", state: "complete", problem: null, bytes: 1, model: "scenes", seed: 7, steps: STEPS, steps_recorded: STEPS,
    guidance_scale: 4, width: 16, height: 16, keep: "cross", parent: null, edits: [], words: [], version: "v", has_image: true, timetable, sites: [], grid: [2, 2], self_grid: null, children: [], edits_json: [], software: {},
    can: { words: true, heads: true, regions: false, region_files: false, concepts: true, clean: false },
    ...more,
  } as unknown as RunDetail;
}

// Maps of 2 x 2 patches: the word with index i has the value (i + 1) (step + 1) / 100 in its patch i mod 4, else 0.
export function madeSeries(word: Word): Series {
  const steps = Array.from({ length: STEPS }, (_, step) => step);
  const maps = steps.map((step) => Float32Array.from({ length: 4 }, (_, cell) => (cell === word.index % 4 ? ((word.index + 1) * (step + 1)) / 100 : 0)));
  return { label: word.label, unit: "attention probability", aggregation: "", exact: true, width: 2, height: 2, steps, maps, mass: Float32Array.from(maps, (map) => map.reduce((a, b) => a + b) / 4) };
}

export function madeView(prompt: string, { selection = {}, source = madeSource(), run = {} }: { selection?: Partial<Selection>; source?: Source; run?: Partial<RunDetail> } = {}): RunView {
  const words = madeWords(prompt);
  const recording: Recording = { source, run: madeRun({ prompt, ...run }), words, steps: Array.from({ length: STEPS }, (_, step) => step) };
  const maps: WordMaps = { series: new Map(words.words.map((word) => [word.label, madeSeries(word)])), means: new Map(), error: null };
  const chosen: Selection = { ...EVERYTHING, word: words.words[0]!.label, ...selection };
  const steps = chosen.steps === "all" ? recording.steps : [Number(chosen.steps)];
  const question: Question = {
    kind: "word", label: chosen.word!, steps, heat: heatAt(words, maps, chosen.word!, steps, STEPS), series: maps.series.get(chosen.word!) ?? null,
    unit: "attention probability", aggregation: "", exact: true, loading: false, error: null,
  };
  return { recording, selection: chosen, maps, question };
}

export const madeJob = (id: string, state: Job["state"], more: Partial<Job> = {}): Job => ({
  id, state, kind: "record", position: null, created: "2026-01-01T10:00:00Z", started: null, ended: null, request: { kind: "record", prompt: `a picture ${id}` }, progress: null, result: null, error: null, warnings: [], ...more,
});
