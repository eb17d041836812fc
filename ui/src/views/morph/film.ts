// What the address says of a film:  #/morph/RUN?word=heart&word=flower&look=ember&at=0.42&camera=0.3,0.1,3.8&kiosk

import type { Camera, Flow } from "./motion";
import type { Look } from "./stage";

export const LOOKS = {
  night: { palette: "picture", paper: false, grain: 1 },
  dust: { palette: "picture", paper: false, grain: 0.5 },
  ember: { palette: "magma", paper: false, grain: 0.8 },
  lagoon: { palette: "viridis", paper: false, grain: 0.8 },
  paper: { palette: "picture", paper: true, grain: 0.85 },
} as const satisfies Record<string, Look>;
export type LookName = keyof typeof LOOKS;
export const LOOK_NAMES = Object.keys(LOOKS) as LookName[];

export const SPEEDS = { slower: 0.25, slow: 0.5, plain: 1 } as const;
export type Speed = keyof typeof SPEEDS;

export interface Film {
  words: string[] | null; // null: those that the page chooses
  look: LookName;
  flow: Flow;
  at: number; // 0 … 1
  camera: Camera | null; // null: on the film's path
  kiosk: boolean;
}

export function readFilm(text: string, search = ""): Film {
  const asked = new URLSearchParams(text);
  const look = asked.get("look") as LookName;
  const flow = asked.get("flow") as Flow;
  const at = Number(asked.get("at") ?? 0);
  const numbers = (asked.get("camera") ?? "").split(",").map(Number);
  const whole = (numbers.length === 3 || numbers.length === 6) && asked.has("camera") && numbers.every(Number.isFinite);
  return {
    words: asked.has("word") ? asked.getAll("word").filter(Boolean) : null,
    look: LOOK_NAMES.includes(look) ? look : "night",
    flow: flow === "picture" || flow === "words" ? flow : "film",
    at: Number.isFinite(at) ? Math.min(Math.max(at, 0), 1) : 0,
    camera: whole ? bounded({ yaw: numbers[0]!, pitch: numbers[1]!, distance: numbers[2]!, target: [numbers[3] ?? 0, numbers[4] ?? 0, numbers[5] ?? 0.1] }) : null,
    kiosk: asked.has("kiosk") || new URLSearchParams(search).has("kiosk"),
  };
}

export function writeFilm(film: Film): string {
  const asked = new URLSearchParams();
  if (film.words) for (const word of film.words.length ? film.words : [""]) asked.append("word", word);
  if (film.look !== "night") asked.set("look", film.look);
  if (film.flow !== "film") asked.set("flow", film.flow);
  if (film.at > 0) asked.set("at", film.at.toFixed(4));
  const { camera } = film;
  if (camera) asked.set("camera", [camera.yaw, camera.pitch, camera.distance, ...camera.target].map((each) => each.toFixed(3)).join(","));
  if (film.kiosk) asked.set("kiosk", "");
  return asked.toString().replace(/%2C/g, ",").replace(/=(?=&|$)/g, (_, at: number, all: string) => (all.slice(0, at).endsWith("kiosk") ? "" : "="));
}

// A camera stays in sight of the picture.
export function bounded({ yaw, pitch, distance, target }: Camera): Camera {
  const near = (value: number, most: number) => Math.min(Math.max(value, -most), most);
  return { yaw: near(yaw, 20), pitch: near(pitch, 1.5), distance: Math.min(Math.max(distance, 0.6), 14), target: [near(target[0], 4), near(target[1], 4), near(target[2], 4)] };
}
