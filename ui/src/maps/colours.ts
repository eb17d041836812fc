// From values to colours. A range [low, high] maps linearly onto the 256 colours of a table.

import { TABLES } from "./colourTables";

export type ColourName = keyof typeof TABLES;
export const SEQUENTIAL = ["magma", "viridis", "cividis", "gray"] as const satisfies readonly ColourName[];

const decoded = new Map<ColourName, Uint8Array>();

export function table(name: ColourName): Uint8Array {
  let found = decoded.get(name);
  if (!found) {
    found = Uint8Array.from(atob(TABLES[name]), (character) => character.charCodeAt(0));
    decoded.set(name, found);
  }
  return found;
}

export function level(value: number, [low, high]: readonly [number, number]): number {
  return high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0;
}

export function colour(name: ColourName, share: number): string {
  const at = 3 * Math.round(Math.max(0, Math.min(1, share)) * 255);
  const colours = table(name);
  return `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`;
}

export function gradient(name: ColourName, direction: string): string {
  const stops = Array.from({ length: 33 }, (_, i) => colour(name, i / 32));
  return `linear-gradient(${direction}, ${stops.join(", ")})`;
}
