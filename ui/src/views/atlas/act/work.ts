// What is being worked on: layers, each some heads and patches, and what is done to them in which steps. A value with a
// text form, kept by the browser and carried by links:
//
//     now=1|result=20261121-…|Hole~~cross:up.2.0(0:4)~16x16.2f.4.c.4~6:10~encode(1):a big red ring in the snow|…

import type { Edit as PlainEdit } from "../../../api/types";
import { asChoice, chosen, parsePatches, patchesText, type PatchChoice, type Patches } from "../../../maps/patches";
import { rangesText, resolveRanges } from "../../../selection";
import type { Recording } from "../../../state/run";
import type { Window } from "../../steps/WindowLane";
import type { Cell } from "../cells";

const KINDS = ["scale", "encode", "patch", "silence"] as const;
export type Kind = (typeof KINDS)[number];

export interface Layer {
  name: string;
  visible: boolean; // hidden layers are neither shown nor drawn with
  heads: readonly string[]; // ids of cells, in the order of the model; none: every head
  patches: Patches | null; // null: everywhere; none chosen is nothing
  window: Window | null; // places of steps; null: all
  kind: Kind;
  factor: number;
  strength: number;
  text: string;
  donor: string; // id of a run
  word: string;
}

export interface Work {
  layers: readonly Layer[];
  now: number;
  result: string | null; // id of the run that is shown beside
}

// Told apart on dark pictures and beside all colour maps.
const COLOURS = ["#5ad1e6", "#ff7ab0", "#a5e05c", "#b79bff", "#ffb347", "#f4f1ea"] as const;
export const colourOf = (place: number): string => COLOURS[place % COLOURS.length]!;

export const newLayer = (name: string, word = ""): Layer => ({
  name, visible: true, heads: [], patches: null, window: null, kind: "encode", factor: 0, strength: 1, text: "", donor: "", word,
});

export const EMPTY: Work = { layers: [newLayer("Layer 1")], now: 0, result: null };
export const current = (work: Work): Layer => work.layers[Math.min(work.now, work.layers.length - 1)]!;
export const withLayer = (work: Work, part: Partial<Layer>): Work => ({
  ...work, layers: work.layers.map((layer, i) => (i === work.now ? { ...layer, ...part } : layer)),
});
export const isEmpty = (work: Work): boolean => workText(work) === workText(EMPTY);

const plain = (text: string) => text.replace(/[%~|]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
const read = (text: string) => text.replace(/%(25|7e|7c)/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));

// The heads as sites with ranges of numbers: `cross:up.2.0(0:2,3),cross:mid(1)`.
function headsText(heads: readonly string[]): string {
  return [...bySite(heads)].map(([site, numbers]) => `${site}(${rangesText(numbers, Infinity)})`).join(",");
}

function parseHeads(text: string): string[] {
  return [...text.matchAll(/([^(),]+)\(([\d:,]+)\)/g)].flatMap(([, site, ranges]) => (resolveRanges(ranges!, 1024) ?? []).map((head) => `${site}/${head}`));
}

export function bySite(heads: readonly string[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const id of heads) {
    const cut = id.lastIndexOf("/");
    const [site, head] = [id.slice(0, cut), Number(id.slice(cut + 1))];
    found.set(site, [...(found.get(site) ?? []), head]);
  }
  return found;
}

function actText(layer: Layer): string {
  switch (layer.kind) {
    case "scale":
      return `scale(${layer.factor})`;
    case "encode":
      return `encode(${layer.strength}):${plain(layer.text)}`;
    case "patch":
      return `patch(${layer.strength}):${plain(layer.donor)}`;
    case "silence":
      return `silence:${plain(layer.word)}`;
  }
}

function layerText(layer: Layer): string {
  const { name, visible, heads, patches, window } = layer;
  const steps = window ? `${window.from}:${window.to + 1}` : "";
  return [plain(name), visible ? "" : "hidden", headsText(heads), patches ? patchesText(patches) : "", steps, actText(layer)].join("~");
}

function parseLayer(text: string): Layer | null {
  const [name, hidden, heads, patches, steps, act] = text.split("~");
  const match = /^(\w+)(?:\((-?[\d.e-]+)\))?(?::(.*))?$/s.exec(act ?? "");
  if (name === undefined || !match) return null;
  const kind = KINDS.find((each) => each === match[1]);
  if (!kind) return null;
  const number = match[2] === undefined || !Number.isFinite(Number(match[2])) ? null : Number(match[2]);
  const rest = read(match[3] ?? "");
  const span = /^(\d+):(\d+)$/.exec(steps ?? "");
  const layer = { ...newLayer(read(name)), visible: hidden !== "hidden", heads: parseHeads(heads ?? ""), patches: patches ? parsePatches(patches) : null, kind };
  if (span && Number(span[2]) > Number(span[1])) layer.window = { from: Number(span[1]), to: Number(span[2]) - 1 };
  if (kind === "scale") return { ...layer, factor: number ?? 0 };
  if (kind === "encode") return { ...layer, strength: number ?? 1, text: rest };
  if (kind === "patch") return { ...layer, strength: number ?? 1, donor: rest };
  return { ...layer, word: rest };
}

export function workText({ layers, now, result }: Work): string {
  return [...(now ? [`now=${now}`] : []), ...(result ? [`result=${result}`] : []), ...layers.map(layerText)].join("|");
}

// What is not understood is left out; nothing that is: null.
export function readWork(text: string): Work | null {
  const parts = text.split("|");
  const value = (name: string) => parts.find((part) => part.startsWith(`${name}=`) && !part.includes("~"))?.slice(name.length + 1) ?? null;
  const layers = parts.flatMap((part) => (part.includes("~") ? (parseLayer(part) ?? []) : []));
  if (layers.length === 0) return null;
  const now = Number(value("now") ?? 0);
  return { layers, now: Number.isInteger(now) && now >= 0 && now < layers.length ? now : 0, result: value("result") };
}

// The edits that an act of the atlas makes, in their JSON form.
export type Where = { steps?: string; sites?: string; heads?: string; patches?: PatchChoice };
export type HeadEdit =
  | ({ edit: "scale"; factor: number } & Where)
  | ({ edit: "encode"; text: string; strength?: number } & Where)
  | ({ edit: "patch"; donor: string; strength?: number } & Where)
  | ({ edit: "silence"; word: string } & Where);
export const asEdits = (edits: readonly HeadEdit[]): PlainEdit[] => edits as unknown as PlainEdit[];

const ACTS_AT: Record<Kind, readonly string[]> = { scale: ["cross", "self", "joint"], patch: ["cross", "self", "joint"], encode: ["cross"], silence: ["cross", "joint"] };
export const actsAt = (kind: Kind, cell: Cell): boolean => ACTS_AT[kind].includes(cell.kind);

export type Missing = "text" | "donor" | "word" | "heads" | "factor" | "patches";
export function missing(layer: Layer, cells: readonly Cell[]): Missing | null {
  if (layer.kind === "encode" && !layer.text.trim()) return "text";
  if (layer.kind === "patch" && !layer.donor) return "donor";
  if (layer.kind === "silence" && !layer.word) return "word";
  if (layer.kind === "scale" && !Number.isFinite(layer.factor)) return "factor";
  if (layer.patches && chosen(layer.patches) === 0) return "patches";
  return headsOf(layer, cells).length === 0 ? "heads" : null;
}

// The heads that a layer's act acts at.
export function headsOf(layer: Layer, cells: readonly Cell[]): Cell[] {
  const named = new Set(layer.heads);
  return cells.filter((cell) => actsAt(layer.kind, cell) && (named.size === 0 || named.has(cell.id)));
}

// What layers stand on: the run's cells, the number of heads of each of its sites, its steps and its picture.
export interface Ground {
  cells: readonly Cell[];
  counts: ReadonlyMap<string, number>;
  steps: readonly number[];
  picture: { width: number; height: number };
}

export const groundOf = ({ recording: { run, steps }, cells }: { recording: Recording; cells: readonly Cell[] }): Ground => ({
  cells,
  counts: new Map(run.sites.map((site) => [site.name, site.heads])),
  steps,
  picture: { width: run.width ?? 1, height: run.height ?? 1 },
});

// A layer's edits, one for each of its aims.
export function editsOf(layer: Layer, { cells, counts, steps, picture }: Ground): HeadEdit[] {
  const where: Where = {};
  if (layer.window) {
    const indices = steps.slice(layer.window.from, layer.window.to + 1);
    if (indices.length < steps.length) where.steps = rangesText(indices, Infinity);
  }
  if (layer.patches) where.patches = asChoice(layer.patches, picture);
  const aims = layer.heads.length === 0 ? [{}] : aimsOf(headsOf(layer, cells), counts);
  return aims.map((aim) => act(layer, { ...aim, ...where }));
}

// The fewest pairs of sites and heads that are together exactly these cells: sites of one and the same set of heads join,
// and so do those whose every head is chosen.
export function aimsOf(chosen: readonly Pick<Cell, "site" | "head">[], counts: ReadonlyMap<string, number>): { sites: string; heads: string }[] {
  const sets = new Map<string, Set<number>>();
  for (const { site, head } of chosen) sets.set(site, (sets.get(site) ?? new Set()).add(head));
  const groups = new Map<string, string[]>();
  for (const [site, heads] of sets) {
    const text = heads.size === counts.get(site) ? "all" : rangesText([...heads], Infinity);
    groups.set(text, [...(groups.get(text) ?? []), site]);
  }
  return [...groups].map(([heads, sites]) => ({ sites: sites.join(","), heads }));
}

function act(layer: Layer, where: Where): HeadEdit {
  const strength = layer.strength === 1 ? {} : { strength: layer.strength };
  switch (layer.kind) {
    case "scale":
      return { edit: "scale", factor: layer.factor, ...where };
    case "encode":
      return { edit: "encode", text: layer.text.trim(), ...strength, ...where };
    case "patch":
      return { edit: "patch", donor: layer.donor, ...strength, ...where };
    case "silence":
      return { edit: "silence", word: layer.word, ...where };
  }
}
