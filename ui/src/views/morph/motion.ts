// The flow of a film: what `diffuscope.morph.motion` and `diffuscope.morph.camera` say, said again for the page. A test
// holds both to the same numbers (tests/fixtures/morph_motion.json). What moves the particles stands in `shaders.ts`.

export interface Moment {
  progress: number; // 0 at the run's first step, 1 at its last
  focus: number; // 0 for the whole picture, 1 for the words
  time: number; // 0 … 1, what the wind and the camera go by; 1 is 0 again
}

export interface Camera {
  yaw: number; // radians around the vertical axis
  pitch: number; // radians above the horizontal
  distance: number; // from the target, in half heights of the picture
  target: readonly [number, number, number];
}

export const VIEW = 0.6; // vertical angle of view, radians
export const SECONDS = 20;

const [BEGIN, END, DISSOLVE] = [0.04, 0.68, 0.84];

export function smoothstep(low: number, high: number, x: number): number {
  const at = Math.min(Math.max((x - low) / (high - low), 0), 1);
  return at * at * (3 - 2 * at);
}

export type Flow = "film" | "picture" | "words";

export function moment(at: number, words: boolean, flow: Flow = "film"): Moment {
  const time = at - Math.floor(at);
  const run = Math.min(Math.max((time - BEGIN) / (END - BEGIN), 0), 1);
  const forward = 0.5 * run + 0.5 * smoothstep(0, 1, run);
  const progress = forward * (1 - smoothstep(DISSOLVE, 1, time));
  const inside = flow === "words" ? 1 : smoothstep(0.22, 0.36, time) * (1 - smoothstep(0.61, 0.73, time));
  return { progress, focus: words && flow !== "picture" ? inside : 0, time };
}

// The camera that follows the film: swings once around in a film, and goes nearer to the words.
export function path(now: Moment, aspect: number, frame: number): Camera {
  const turn = 2 * Math.PI * now.time;
  const still = 1 - 0.82 * Math.max(0, (now.progress - 0.86) / 0.14) * (1 - now.focus);
  return {
    yaw: (0.46 * Math.sin(turn) + 0.22 * now.focus * Math.sin(2 * turn)) * still,
    pitch: (0.11 * Math.sin(turn + 1.1) + 0.12 * now.focus) * still,
    distance: (4.15 - 0.15 * now.focus) * Math.max(1, aspect / frame),
    target: [0, 0, 0.1],
  };
}

// Progress at which structure and detail begin, by the plan of 20, 40 and 40 per cent of the steps.
export function planned(steps: number): [number, number] {
  return [Math.round(0.2 * steps) / (steps - 1), Math.round(0.6 * steps) / (steps - 1)];
}
