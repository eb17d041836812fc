// One recording, loaded: what it is, its words, and their maps as they are asked for.

import { useEffect, useMemo, useRef, useState } from "react";
import type { TensorFile } from "../api/safetensors";
import type { Source } from "../api/source";
import type { RunDetail, Site, Word, Words } from "../api/types";
import { meanOver, seriesOf, sumOf, type Heat, type Series } from "../maps/series";
import { resolveRanges, resolveSites, selectionText, type Selection } from "../selection";
import { t } from "../text";
import { useResource, type Resource } from "./resource";

export interface Recording {
  source: Source;
  run: RunDetail;
  words: Words;
  steps: number[]; // indices of the steps whose attention was kept
}

export function useRecording(source: Source, id: string | null): Resource<Recording> {
  return useResource(id && `${source.base} ${id}`, async () => {
    const base = `api/runs/${encodeURIComponent(id!)}`;
    const [run, words] = await Promise.all([source.json<RunDetail>(`${base}/run.json`), source.json<Words>(`${base}/words.json`)]);
    const steps = run.timetable.filter((step) => step.attended).map((step) => step.index);
    return { source, run, words, steps };
  });
}

// The path of one of the run's files; with its version it is kept for good.
export function filePath(run: { id: string; version: string | null }, file: string): string {
  return `api/runs/${encodeURIComponent(run.id)}/${file}${run.version ? `?v=${run.version}` : ""}`;
}

// The finished picture as it is shown: exact where pixels are seen one by one, else the smaller file.
export function shownPicture(run: RunDetail): string {
  return filePath(run, (run.width ?? 0) * (run.height ?? 0) > 256 * 256 ? "image.webp" : "image.png");
}

export type SiteChoice =
  | { kind: "all" }
  | { kind: "grid"; grid: string }
  | { kind: "site"; site: Site; head: number | null }
  | { kind: "other" };

export const textSites = (run: RunDetail): Site[] => run.sites.filter((site) => site.kept && site.kind !== "self");
export const gridName = ({ grid: [height, width] }: Site): string => `${height}x${width}`;

// What a selection's sites and heads come down to; all else is asked of the server.
export function siteChoice(run: RunDetail, selection: Selection): SiteChoice {
  const sites = textSites(run);
  const names = new Set(resolveSites(selection.sites, sites.map((site) => site.name)));
  const chosen = sites.filter((site) => names.has(site.name));
  const allHeads = selection.heads === "all";
  if (chosen.length === sites.length && allHeads) return { kind: "all" };
  if (chosen.length === 1) {
    const heads = resolveRanges(selection.heads, chosen[0]!.heads);
    if (allHeads) return { kind: "site", site: chosen[0]!, head: null };
    if (heads?.length === 1) return { kind: "site", site: chosen[0]!, head: heads[0]! };
  }
  const grid = chosen[0] && gridName(chosen[0]);
  if (grid && allHeads && chosen.length > 1 && sites.every((site) => (gridName(site) === grid) === names.has(site.name))) {
    return { kind: "grid", grid };
  }
  return { kind: "other" };
}

// The words that a label means: one word, or neighbours of the prompt.
export function wordsOf(words: Words, label: string): Word[] {
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
  const whole = words.words.find((word) => same(word.label, label));
  if (whole) return [whole];
  const wanted = label.split(/\s+/);
  const plain = words.words.filter((word) => word.kind !== "special");
  for (let start = 0; wanted.length > 1 && start + wanted.length <= plain.length; start++) {
    const here = plain.slice(start, start + wanted.length);
    if (here.every((word, i) => same(word.label, wanted[i]!) || same(word.text, wanted[i]!))) return here;
  }
  return [];
}

// The word that a page opens on: the first that names a thing. In English that is the last of the first words that stand
// together with no small word or comma between them ("a red circle left of …"), be they not said of a picture ("a photo
// of …") or of what is done ("an astronaut riding …").
export function firstWord(words: Words): Word | null {
  const plain = words.words.filter((word) => word.kind !== "special" && word.tokens.length > 0);
  const content = plain.filter((word) => word.kind === "content");
  const groups: Word[][] = [];
  plain.forEach((word, i) => {
    if (word.kind !== "content") return;
    const before = plain[i - 1];
    const apart = !before || before.kind !== "content" || /[^\s-]/.test(words.prompt.slice(before.end ?? 0, word.start ?? 0));
    if (apart) groups.push([word]);
    else groups.at(-1)!.push(word);
  });
  for (const group of groups) {
    const done = group.findIndex((word, i) => i > 0 && /ing$/i.test(word.text));
    const thing = group[(done > 0 ? done : group.length) - 1]!;
    const next = plain[plain.indexOf(thing) + 1];
    const ofPicture = PICTURES.has(thing.text.toLowerCase()) && next?.text.toLowerCase() === "of";
    if (!ofPicture) return thing;
  }
  return content[0] ?? words.words[0] ?? null;
}

const PICTURES = new Set(["photo", "photograph", "picture", "image", "painting", "drawing", "sketch", "portrait", "illustration", "render", "rendering", "watercolor", "watercolour", "print", "poster", "view", "shot", "close-up", "closeup"]);

async function wordSeries({ source, run, words, steps }: Recording, word: Word, choice: SiteChoice, selection: Selection): Promise<Series> {
  const fallback = { label: word.label, steps };
  const file = (path: string) => source.tensors(filePath(run, `maps/${word.index}${path}`));
  switch (choice.kind) {
    case "all":
      return seriesOf(await file(".safetensors"), fallback);
    case "grid":
      return seriesOf(await file(`/grids/${choice.grid}.safetensors`), fallback);
    case "site":
      if (choice.head === null) return seriesOf(await file(`/sites/${choice.site.index}.safetensors`), fallback);
      if (!source.server && !source.site.heads && source.site.atlas) return atlasHead(await source.tensors(filePath(run, `atlas/word-${word.index}/all.safetensors`)), choice.site.index, choice.head, word.label);
      return headSeries(await file(`/heads/${choice.site.index}.safetensors`), choice.head, fallback);
    case "other": {
      if (!source.server) throw new Error(t.view.otherNeedsServer);
      const asked = selectionText({ ...selection, steps: "all", word: word.label, concept: null, region: null });
      return seriesOf(await source.server.ask(`api/runs/${encodeURIComponent(run.id)}/map`, { selection: asked, each_step: true }), { ...fallback, label: words.words[word.index]?.label ?? word.label });
    }
  }
}

// One head out of `[step, head, y, x]`.
function headSeries(file: Awaited<ReturnType<Source["tensors"]>>, head: number, fallback: { label: string; steps: number[] }): Series {
  const tensor = file.tensors.maps!;
  const [steps, heads, height, width] = tensor.shape as [number, number, number, number];
  const numbers = JSON.parse(file.metadata.heads ?? "[]") as number[];
  const place = numbers.length ? numbers.indexOf(head) : head;
  if (place < 0) throw new Error(t.view.headNotKept(head));
  const area = width * height;
  const values = new Float32Array(steps * area);
  for (let step = 0; step < steps; step++) values.set(tensor.values.subarray((step * heads + place) * area, (step * heads + place + 1) * area), step * area);
  return seriesOf({ metadata: file.metadata, tensors: { maps: { ...tensor, shape: [steps, height, width], values } } }, fallback);
}

// One head out of the atlas's file of a word, where an export has that and no single heads: 256 levels between each map's
// own least and greatest value, which are exact.
export function atlasHead(file: TensorFile, site: number, head: number, label: string): Series {
  const sites = JSON.parse(file.metadata.sites ?? "[]") as { index: number; heads: number[]; first: number }[];
  const slots = JSON.parse(file.metadata.slots ?? "[]") as (number | "mean")[];
  const there = sites.find(({ index }) => index === site);
  const place = there?.heads.indexOf(head) ?? -1;
  const { [`maps/${site}`]: maps, min, max, mean } = file.tensors;
  if (!there || place < 0 || !maps || !min || !max || !mean) throw new Error(t.view.headNotKept(head));
  const [, heads, height, width] = maps.shape as [number, number, number, number];
  const cells = min.shape[1]!;
  const area = width * height;
  const kept = slots.flatMap((slot, at) => (slot === "mean" ? [] : [{ step: slot, at, cell: at * cells + there.first + place }]));
  const stored = (at: number) => maps.values.subarray((at * heads + place) * area, (at * heads + place + 1) * area);
  return {
    label,
    unit: file.metadata.unit ?? "attention probability",
    aggregation: file.metadata.aggregation ?? "",
    exact: false,
    width,
    height,
    steps: kept.map(({ step }) => step),
    maps: kept.map(({ at, cell }) => stored(at).map((value) => min.values[cell]! + ((max.values[cell]! - min.values[cell]!) * value) / 255)),
    mass: Float32Array.from(kept, ({ cell }) => mean.values[cell]!),
  };
}

const choiceKey = (choice: SiteChoice, selection: Selection): string =>
  choice.kind === "other" ? `${selection.sites} ${selection.heads}` : choice.kind === "site" ? `${choice.site.name} ${choice.head}` : choice.kind === "grid" ? choice.grid : "all";

export interface WordMaps {
  // Label of each word to its maps over the steps; words come in one by one, the wanted ones first.
  series: ReadonlyMap<string, Series>;
  // Means over all steps of all words, there before any series.
  means: ReadonlyMap<string, Heat>;
  error: Error | null;
}

// What is fetched ahead of the words that are asked for: enough for some twenty words of a 64 x 64 grid over 50 steps.
// Further words come when they are chosen.
export const AHEAD = 8e6;
const EXACT = 256 * 1024; // files up to this size hold float32, larger ones float16

export function bytesOfWord(recording: Recording): number {
  const [height = 0, width = 0] = recording.run.grid ?? [];
  const whole = recording.steps.length * height * width * 4;
  return whole > EXACT ? whole / 2 : whole;
}

const NOTHING: WordMaps = { series: new Map(), means: new Map(), error: null };

// Every word's maps for the selection's sites and heads: the wanted words first, then the others, so that scrubbing,
// changing words and ranking them at a place ask for nothing.
export function useWordMaps(recording: Recording | null, selection: Selection, wanted: readonly string[]): WordMaps {
  const choice = useMemo(() => (recording ? siteChoice(recording.run, selection) : null), [recording, selection.sites, selection.heads]);
  const key = recording && choice ? `${recording.run.id} ${recording.run.version} ${choiceKey(choice, selection)}` : null;
  const [state, setState] = useState<{ key: string | null; maps: WordMaps; settled: boolean }>({ key: null, maps: NOTHING, settled: false });
  const first = useRef(wanted);
  first.current = wanted;
  const missing = state.key === key && state.settled ? wanted.filter((label) => !state.maps.series.has(label)).join("\n") : "";
  useEffect(() => {
    if (!recording || !choice || !recording.run.can.words) return;
    let going = true;
    const series = new Map<string, Series>();
    let means = new Map<string, Heat>();
    const show = (error: Error | null = null, settled = false) => going && setState({ key, maps: { series: new Map(series), means, error }, settled });
    const meansThere =
      choice.kind === "all"
        ? recording.source.tensors(filePath(recording.run, "maps/all.safetensors")).then((file) => {
            const all = seriesOf(file, { label: "", steps: [] });
            const labels = JSON.parse(file.metadata.words ?? "[]") as string[];
            const { width, height } = all;
            means = new Map(all.maps.map((values, i) => [labels[i] ?? recording.words.words[i]?.label ?? "", { values, width, height }]));
            show();
          })
        : Promise.resolve();
    const rank = (word: Word) => (first.current.includes(word.label) ? 0 : word.kind === "content" ? 1 : word.kind === "function" ? 2 : 3);
    const load = async () => {
      await meansThere.catch(() => undefined);
      const left = [...recording.words.words];
      const each = bytesOfWord(recording);
      while (left.length && going) {
        left.sort((a, b) => rank(a) - rank(b) || a.index - b.index);
        const wantedNow = rank(left[0]!) === 0;
        if (!wantedNow && (series.size + 1) * each > AHEAD) return show(null, true);
        const batch = left.splice(0, wantedNow ? 1 : 4);
        try {
          const found = await Promise.all(batch.map((word) => wordSeries(recording, word, choice, selection)));
          found.forEach((each, i) => series.set(batch[i]!.label, each));
          show();
        } catch (error) {
          show(error instanceof Error ? error : new Error(String(error)));
          return;
        }
      }
    };
    void load();
    return () => {
      going = false;
    };
  }, [key]);
  // Words beyond what is fetched ahead come when they are wanted.
  useEffect(() => {
    if (!recording || !choice || missing === "") return;
    let going = true;
    for (const word of recording.words.words.filter(({ label }) => missing.split("\n").includes(label))) {
      wordSeries(recording, word, choice, selection).then(
        (found) => going && setState((now) => (now.key === key ? { ...now, maps: { ...now.maps, series: new Map(now.maps.series).set(word.label, found) } } : now)),
        (error: unknown) => going && setState((now) => (now.key === key ? { ...now, settled: false, maps: { ...now.maps, error: error instanceof Error ? error : new Error(String(error)) } } : now)),
      );
    }
    return () => {
      going = false;
    };
  }, [key, missing]);
  return state.maps;
}

// The maps of a label, which may be a phrase: the sum of its words' maps. The same answer is the same object, so that what
// shows it is not drawn anew.
export function labelSeries(words: Words, maps: WordMaps, label: string): Series | null {
  const known = labelled.get(maps.series) ?? new Map<string, Series>();
  labelled.set(maps.series, known);
  const found = known.get(label);
  if (found) return found;
  const parts = wordsOf(words, label).map((word) => maps.series.get(word.label));
  if (parts.length === 0 || parts.some((part) => part === undefined)) return null;
  const [only] = parts;
  const made = parts.length === 1 && only!.label === label ? only! : { ...sumOf(parts as Series[]), label };
  known.set(label, made);
  return made;
}

const labelled = new WeakMap<WordMaps["series"], Map<string, Series>>();

export function labelMean(words: Words, maps: WordMaps, label: string): Heat | null {
  const parts = wordsOf(words, label).map((word) => maps.means.get(word.label));
  if (parts.length === 0 || parts.some((part) => part === undefined)) return null;
  const [first, ...rest] = parts as Heat[];
  return { ...first!, values: first!.values.map((value, i) => rest.reduce((sum, other) => sum + other.values[i]!, value)) };
}

export function heatAt(words: Words, maps: WordMaps, label: string, steps: readonly number[], count: number): Heat | null {
  const series = labelSeries(words, maps, label);
  if (series) return meanOver(series, steps);
  return steps.length === count ? labelMean(words, maps, label) : null;
}
