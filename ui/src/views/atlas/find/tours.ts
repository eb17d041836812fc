// The guided walk: data for each model's words, and how a walk comes to its recording and its patches.

import type { Source } from "../../../api/source";
import type { Objects, RunSummary } from "../../../api/types";
import { blank, brush, picturePlane, type Patches } from "../../../maps/patches";
import { runJob } from "../../../state/jobs";
import { filePath, type Recording } from "../../../state/run";
import data from "./tours.json";

export interface TourData {
  id: string;
  thing: string; // the word of what is there
  other: string; // of what it becomes
  part: string; // by which the two differ
  prompt: string;
  text: string; // the prompt with the other word, which is encoded
  seed: number;
  steps: number;
  window: [number, number]; // in shares of the run
  disc: [x: number, y: number, radius: number]; // what is painted: place and radius in shares of the thing's box and half side
  learned: string;
}

const TOURS = data as unknown as TourData[];

// The first whose words the model knows: one that has a unicorn takes the unicorn.
export async function tourOf(source: Source, model: string): Promise<TourData> {
  for (const tour of TOURS.slice(0, -1)) {
    const told = await Promise.all([tour.prompt, tour.text].map((prompt) => source.server!.send<{ warnings: string[] }>("POST", "api/prompts/check", { prompt, model })));
    if (!told.some(({ warnings }) => warnings.some((warning) => warning.includes("does not know")))) return tour;
  }
  return TOURS.at(-1)!;
}

export const isBase = (tour: TourData, run: Pick<RunSummary, "prompt" | "parent">): boolean => run.prompt === tour.prompt && !run.parent;

// The walk's recording: one that is there, or a new one.
export async function baseOf(tour: TourData, source: Source, runs: readonly RunSummary[], model: string): Promise<string> {
  const there = runs.find((run) => isBase(tour, run) && run.model === model && run.steps === tour.steps && run.seed === tour.seed && run.state === "complete" && run.keep !== "maps");
  if (there) return there.id;
  const made = await runJob(source, { kind: "record", prompt: tour.prompt, model, seed: tour.seed, steps: tour.steps });
  const id = made.result?.runs?.[0];
  if (!id) throw new Error(made.error?.message ?? made.state);
  return id;
}

// A disc where the part belongs, by the box of the thing's object; in the middle of the picture where none was found.
export async function discOf(tour: TourData, { source, run }: Recording): Promise<Patches> {
  const [width, height] = [run.width ?? 1, run.height ?? 1];
  const found = await source.json<Objects>(filePath(run, "objects.json")).catch(() => null);
  const object = found?.objects.find(({ label }) => label.split(/\s+/).includes(tour.thing));
  const [x, y, w, h] = object?.box ?? [width / 4, height / 4, width / 2, height / 2];
  const plane = picturePlane({ width, height });
  const [dx, dy, radius] = tour.disc;
  const at = { x: ((x + dx * w) / width) * plane[1], y: ((y + dy * h) / height) * plane[0] };
  const patches = blank(plane);
  brush(patches, at, at, ((radius * Math.min(w, h)) / 2 / width) * plane[1], 1);
  return patches;
}
