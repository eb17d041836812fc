// What a film is played from: a run's maps and predicted pictures, as `diffuscope.morph.score.Score` reads them.

import type { Source } from "../../api/source";
import type { Word } from "../../api/types";
import { mean, seriesOf, sumOf, type Series } from "../../maps/series";
import { filePath, wordsOf, type Recording } from "../../state/run";
import { planned } from "./motion";

export const MOST_WORDS = 4;
const LONGEST = 256;

export interface Score {
  id: string;
  prompt: string;
  words: string[];
  steps: number[];
  width: number; // of a map, in patches
  height: number;
  // [plane, step, y, x], 0 … 1: plane 0 the depth, the others a word's stability each.
  attention: Float32Array;
  colours: Pictures;
  phases: [number, number];
  aspect: number;
}

export interface Pictures {
  bytes: Uint8Array<ArrayBuffer>; // [step, y, x, 4], sRGB
  width: number;
  height: number;
}

// Min-max scaled over all steps together; all 0 where nothing differs.
export function unit(maps: readonly Float32Array[], into: Float32Array): void {
  let low = Infinity;
  let high = -Infinity;
  for (const map of maps) for (const value of map) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const range = high - low;
  let at = 0;
  for (const map of maps) for (const value of map) into[at++] = range > 0 ? (value - low) / range : 0;
}

export const shownWords = (recording: Recording): Word[] => recording.words.words.filter((word) => word.kind !== "special" && word.tokens.length > 0);

export async function readScore(recording: Recording, labels: readonly string[]): Promise<Score> {
  const { run, source, steps } = recording;
  if (!run.can.words || steps.length < 2) throw new Error("a film needs a recording of at least two steps that kept the attention to words");
  const all = shownWords(recording);
  const content = all.filter((word) => word.kind === "content");
  const shown = content.length ? content : all;
  const file = async (word: Word): Promise<Series> =>
    seriesOf(await source.tensors(filePath(run, `maps/${word.index}.safetensors`)), { label: word.label, steps });
  const chosen = labels.slice(0, MOST_WORDS).map((label) => ({ label, parts: wordsOf(recording.words, label) })).filter(({ parts }) => parts.length > 0);
  const [series, own, colours] = await Promise.all([
    Promise.all(shown.map(file)),
    Promise.all(chosen.map(async ({ parts }) => sumOf(await Promise.all(parts.map(file))))),
    readPictures(recording),
  ]);
  const { width, height, maps } = series[0]!;
  const size = maps.length * width * height;
  const attention = new Float32Array(size * (1 + own.length));
  [sumOf(series), ...own].forEach((each, plane) => unit(each.maps, attention.subarray(plane * size, (plane + 1) * size)));
  return {
    id: run.id,
    prompt: run.prompt ?? run.id,
    words: chosen.map(({ label }) => label),
    steps: series[0]!.steps,
    width,
    height,
    attention,
    colours,
    phases: planned(maps.length),
    aspect: (run.width ?? colours.width) / (run.height ?? colours.height),
  };
}

// The predicted picture of every step; where the run kept none, the finished picture stands in for all.
async function readPictures({ run, source, steps }: Recording): Promise<Pictures> {
  const previews = new Set(run.timetable.filter((step) => step.preview).map((step) => step.index));
  const all = steps.every((step) => previews.has(step));
  const files = all ? steps.map((step) => `previews/${String(step).padStart(4, "0")}.webp`) : ["image.webp"];
  const images = await Promise.all(files.map((each) => loaded(source, filePath(run, each))));
  const first = images[0]!;
  const shrink = Math.min(1, LONGEST / Math.max(first.naturalWidth, first.naturalHeight));
  const [width, height] = [Math.max(1, Math.round(first.naturalWidth * shrink)), Math.max(1, Math.round(first.naturalHeight * shrink))];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  const bytes = new Uint8Array(steps.length * width * height * 4);
  steps.forEach((_, i) => {
    if (i < images.length) context.drawImage(images[i]!, 0, 0, width, height);
    bytes.set(context.getImageData(0, 0, width, height).data, i * width * height * 4);
  });
  return { bytes, width, height };
}

async function loaded(source: Source, file: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = source.url(file);
  await image.decode();
  return image;
}

// The words that a film goes into by itself: of the heads of the prompt's noun phrases (a word that names something, with
// none such after it) the two whose maps are most gathered.
export async function chosenWords(recording: Recording): Promise<string[]> {
  const all = recording.words.words.filter((word) => word.kind !== "special");
  const heads = all.filter((word, i) => word.kind === "content" && word.tokens.length > 0 && all[i + 1]?.kind !== "content");
  if (heads.length <= 2) return heads.map((word) => word.label);
  const file = seriesOf(await recording.source.tensors(filePath(recording.run, "maps/all.safetensors")), { label: "", steps: [] });
  const focus = (word: Word) => focusOf(file.maps[word.index]!);
  const best = [...heads].sort((a, b) => focus(b) - focus(a)).slice(0, 2);
  return heads.filter((word) => best.includes(word)).map((word) => word.label);
}

// 1 - H(q) / ln n: 1 where one patch has all of the map, 0 where all have the same.
function focusOf(map: Float32Array): number {
  const total = mean(map) * map.length;
  if (!(total > 0)) return 0;
  let entropy = 0;
  for (const value of map) if (value > 0) entropy -= (value / total) * Math.log(value / total);
  return 1 - entropy / Math.log(map.length);
}
