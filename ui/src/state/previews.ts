// The pictures predicted on the way, of one recording: fetched once, decoded once, and held, so that scrubbing asks for
// nothing and decodes nothing. Of long runs every so manieth is held, so that a visit stays bounded.

import { useEffect, useMemo, useReducer, useRef, useState } from "react";
import { filePath, type Recording } from "./run";

export interface Shot {
  step: number;
  address: string; // of the file, held in memory
  picture: ImageBitmap | null; // where the browser decodes ahead
}

// Held ahead at most: as many pictures as some 3 MB hold, and no more than HELD; the longer side of what is held decoded.
export const HELD = 64;
const LEAST = 12;
const BYTES = 3e6;
const A_PIXEL = 0.4; // bytes of a WebP picture full of detail
const SIDE = 512;
const TOGETHER = 4;

export const previewSteps = ({ run }: Recording): number[] => run.timetable.filter((step) => step.preview).map((step) => step.index);

export const previewAddress = ({ source, run }: Recording, step: number): string => source.url(filePath(run, `previews/${String(step).padStart(4, "0")}.webp`));

// Every so manieth of the steps, the first among them.
export function heldSteps(steps: readonly number[], { width, height }: { width: number | null; height: number | null }): number[] {
  const most = Math.max(LEAST, Math.min(HELD, Math.floor(BYTES / (A_PIXEL * (width ?? 1) * (height ?? 1)))));
  const every = Math.ceil(steps.length / most);
  return steps.filter((_, i) => i % every === 0);
}

export class Previews {
  readonly shots = new Map<number, Shot>();
  private readonly told = new Set<() => void>();
  private going = false;
  private users = 0;

  constructor(private readonly recording: Recording) {}

  // Starts to fetch with the first that wants them, and lets go with the last.
  use(tell: () => void): () => void {
    this.users++;
    this.told.add(tell);
    if (!this.going) void this.load();
    return () => {
      this.told.delete(tell);
      if (--this.users > 0) return;
      this.going = false;
      // Decoded pictures are not closed: one may still be on the screen.
      for (const { address } of this.shots.values()) URL.revokeObjectURL(address);
      this.shots.clear();
      kept.delete(this.recording);
    };
  }

  private async load(): Promise<void> {
    this.going = true;
    const left = heldSteps(previewSteps(this.recording), this.recording.run);
    const walk = async () => {
      for (let step = left.shift(); step !== undefined && this.going; step = left.shift()) {
        const shot = await fetched(this.recording, step).catch(() => null);
        if (!shot) continue;
        if (!this.going) {
          URL.revokeObjectURL(shot.address);
          return;
        }
        this.shots.set(step, shot);
        for (const tell of this.told) tell();
      }
    };
    await Promise.all(Array.from({ length: TOGETHER }, walk));
  }
}

async function fetched(recording: Recording, step: number): Promise<Shot | null> {
  const answer = await fetch(previewAddress(recording, step));
  if (!answer.ok) return null;
  const blob = await answer.blob();
  const { width, height } = recording.run;
  const small = Math.min(1, SIDE / Math.max(width ?? SIDE, height ?? SIDE));
  const size = small < 1 ? { resizeWidth: Math.round((width ?? SIDE) * small), resizeHeight: Math.round((height ?? SIDE) * small), resizeQuality: "high" as const } : {};
  const picture = "createImageBitmap" in globalThis ? await createImageBitmap(blob, size).catch(() => null) : null;
  return { step, address: URL.createObjectURL(blob), picture };
}

const kept = new Map<Recording, Previews>();

// The held pictures, as far as they have come. Several views of one recording share them.
export function usePreviews(recording: Recording | null, ready: boolean): ReadonlyMap<number, Shot> {
  const [count, tell] = useReducer((before: number) => before + 1, 0);
  const previews = useMemo(() => {
    if (!recording) return null;
    const found = kept.get(recording) ?? new Previews(recording);
    kept.set(recording, found);
    return found;
  }, [recording]);
  // Once wanted they stay, also while the next map is on its way.
  const wanted = useRef(false);
  wanted.current ||= ready;
  useEffect(() => (wanted.current && previews && recording && previewSteps(recording).length ? previews.use(tell) : undefined), [previews, wanted.current]);
  // A map of its own for each change: what depends on it sees that it changed.
  return useMemo(() => new Map(previews?.shots), [previews, count]);
}

// The picture to show for a step: its own where it is held; while steps fly by, the nearest held one before it; and its
// own by its address where one rests. Which step it is of is said.
export function useShot(recording: Recording, shots: ReadonlyMap<number, Shot>, step: number | null): { shot: Shot | null; address: string; step: number } | null {
  const exact = step === null ? null : (shots.get(step) ?? null);
  const near = step === null || exact ? null : before(shots, step);
  const [rested, setRested] = useState<number | null>(null);
  const flying = near !== null && rested !== step;
  useEffect(() => {
    if (!flying) return;
    const timer = window.setTimeout(() => setRested(step), 180);
    return () => window.clearTimeout(timer);
  }, [flying, step]);
  if (step === null) return null;
  const shot = exact ?? (flying ? near : null);
  return shot ? { shot, address: shot.address, step: shot.step } : { shot: null, address: previewAddress(recording, step), step };
}

export function before(shots: ReadonlyMap<number, Shot>, step: number): Shot | null {
  let best: Shot | null = null;
  for (const shot of shots.values()) if (shot.step <= step && (!best || shot.step > best.step)) best = shot;
  return best;
}
