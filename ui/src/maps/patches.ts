// Patches that are chosen on a plane (the cells of one site's grid, or the picture), and what of every grid they cover:
// the page's twin of `diffuscope.edits.PatchChoice`, which the engine applies.

import type { Point } from "./regions";

export type Grid = readonly [height: number, width: number];

export interface Patches {
  grid: Grid;
  cells: Uint8Array; // [y, x], 1 where chosen
}

// What an edit's JSON form holds.
export interface PatchChoice {
  region?: string;
  rle?: { size: [number, number]; counts: number[] };
  grid?: [number, number];
}

// The finest plane that is painted on: four cells of it to one of the finest grid that models have today.
const FINEST = 256;

export const blank = (grid: Grid): Patches => ({ grid, cells: new Uint8Array(grid[0] * grid[1]) });
export const inverted = ({ grid, cells }: Patches): Patches => ({ grid, cells: cells.map((cell) => 1 - cell) });
export const chosen = ({ cells }: Patches): number => cells.reduce((sum, cell) => sum + cell, 0);
export const same = (a: Patches | null, b: Patches | null): boolean =>
  a === b || (a !== null && b !== null && sameGrid(a.grid, b.grid) && a.cells.every((cell, i) => cell === b.cells[i]));
export const sameGrid = (a: Grid, b: Grid): boolean => a[0] === b[0] && a[1] === b[1];
export const gridText = ([height, width]: Grid): string => `${height}x${width}`;

// The plane of the picture: its pixels, several to a cell where there are too many.
export function picturePlane({ width, height }: { width: number; height: number }): Grid {
  for (let by = 1; by <= 16; by++) {
    if (Math.max(width, height) / by <= FINEST && width % by === 0 && height % by === 0) return [height / by, width / by];
  }
  const by = Math.max(width, height) / FINEST;
  return [Math.max(1, Math.round(height / by)), Math.max(1, Math.round(width / by))];
}

// Paints a round brush along a line, in place; points and radius in cells. The cell under the pointer always counts.
export function brush({ grid: [height, width], cells }: Patches, from: Point, to: Point, radius: number, value: 0 | 1): void {
  const reach = Math.max(0.5, radius);
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
  const bottom = Math.min(height - 1, Math.floor(Math.max(from.y, to.y) + reach));
  const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - reach));
  const right = Math.min(width - 1, Math.floor(Math.max(from.x, to.x) + reach));
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = length > 0 ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
      if (Math.hypot(px - along * dx, py - along * dy) <= radius) cells[y * width + x] = value;
    }
  }
  const steps = Math.ceil(2 * Math.hypot(dx, dy)) || 1;
  for (let i = 0; i <= steps; i++) {
    const x = Math.floor(from.x + (dx * i) / steps);
    const y = Math.floor(from.y + (dy * i) / steps);
    if (x >= 0 && y >= 0 && x < width && y < height) cells[y * width + x] = value;
  }
}

// All cells from one to another, both included.
export function box({ grid: [height, width], cells }: Patches, a: Point, b: Point, value: 0 | 1): void {
  const inside = (at: number, size: number) => Math.max(0, Math.min(size - 1, Math.floor(at)));
  const [x0, x1] = [Math.min(a.x, b.x), Math.max(a.x, b.x)].map((x) => inside(x, width)) as [number, number];
  const [y0, y1] = [Math.min(a.y, b.y), Math.max(a.y, b.y)].map((y) => inside(y, height)) as [number, number];
  for (let y = y0; y <= y1; y++) cells.fill(value, y * width + x0, y * width + x1 + 1);
}

// All cells whose centre lies inside a closed line.
export function lasso({ grid: [height, width], cells }: Patches, points: readonly Point[], value: 0 | 1): void {
  if (points.length < 3) return;
  for (let y = 0; y < height; y++) {
    const cuts: number[] = [];
    points.forEach((a, i) => {
      const b = points[(i + 1) % points.length]!;
      if (a.y > y + 0.5 !== b.y > y + 0.5) cuts.push(a.x + ((b.x - a.x) * (y + 0.5 - a.y)) / (b.y - a.y));
    });
    cuts.sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      const first = Math.max(0, Math.ceil(cuts[i]! - 0.5));
      const last = Math.min(width - 1, Math.ceil(cuts[i + 1]! - 0.5) - 1);
      if (first <= last) cells.fill(value, y * width + first, y * width + last + 1);
    }
  }
}

// How much of each cell of a grid is chosen, 0 to 1 `[y, x]`: by area, as the engine carries a choice to a site's grid.
export function cover({ grid: [height, width], cells }: Patches, [rows, columns]: Grid): Float64Array {
  const across = shares(width, columns);
  const down = shares(height, rows);
  const narrow = new Float64Array(height * columns);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      const { first, parts } = across[x]!;
      let sum = 0;
      for (let i = 0; i < parts.length; i++) sum += parts[i]! * cells[y * width + first + i]!;
      narrow[y * columns + x] = sum;
    }
  }
  const found = new Float64Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    const { first, parts } = down[y]!;
    for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let i = 0; i < parts.length; i++) sum += parts[i]! * narrow[(first + i) * columns + x]!;
      found[y * columns + x] = sum;
    }
  }
  return found;
}

// Along one axis: for each target cell, the source cells that it covers and the share of each.
function shares(source: number, target: number): { first: number; parts: number[] }[] {
  return Array.from({ length: target }, (_, i) => {
    const [low, high] = [(i * source) / target, ((i + 1) * source) / target];
    const first = Math.floor(low);
    const parts: number[] = [];
    for (let at = first; at < high && at < source; at++) parts.push(((Math.min(high, at + 1) - Math.max(low, at)) * target) / source);
    return { first, parts };
  });
}

// The text form for addresses: the grid, then lengths of runs outside and inside by turns, in reading order, base 36.
export function patchesText({ grid, cells }: Patches): string {
  const runs: number[] = [];
  for (let i = 0, value = 0; i < cells.length; value = 1 - value) {
    const from = i;
    while (i < cells.length && cells[i] === value) i++;
    runs.push(i - from);
  }
  if (runs.length % 2) runs.pop(); // what is left is outside
  return [gridText(grid), ...runs.map((run) => run.toString(36))].join(".");
}

export function parsePatches(text: string): Patches | null {
  const [size = "", ...runs] = text.split(".");
  const match = /^(\d{1,4})x(\d{1,4})$/.exec(size);
  if (!match) return null;
  const grid: Grid = [Number(match[1]), Number(match[2])];
  if (Math.min(...grid) < 1 || Math.max(...grid) > 1024) return null;
  const found = blank(grid);
  let at = 0;
  for (const [i, run] of runs.entries()) {
    if (!/^[0-9a-z]{1,6}$/.test(run)) return null;
    const length = Number.parseInt(run, 36);
    if (i % 2) found.cells.fill(1, at, at + length);
    at += length;
  }
  return at <= found.cells.length ? found : null;
}

// The JSON form of an edit's `patches`: a box where it is one, else a mask as lengths of runs down the columns, which the
// server brings to the form that is kept.
export function asChoice({ grid, cells }: Patches, picture: { width: number; height: number }): PatchChoice {
  const [height, width] = grid;
  const plane = height === picture.height && width === picture.width ? {} : { grid: [height, width] as [number, number] };
  let [x0, x1, y0, y1, count] = [width, -1, height, -1, 0];
  cells.forEach((cell, i) => {
    if (!cell) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x), Math.min(y0, y), Math.max(y1, y)];
    count++;
  });
  if (count === 0) throw new Error("no patch is chosen");
  if ((x1 - x0 + 1) * (y1 - y0 + 1) === count) return { region: `box:${x0},${y0},${x1},${y1}`, ...plane };
  const counts: number[] = [0];
  let value = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (cells[y * width + x] !== value) {
        counts.push(0);
        value = 1 - value;
      }
      counts[counts.length - 1]!++;
    }
  }
  return { rle: { size: [height, width], counts }, ...plane };
}

// On another plane: a cell is chosen where half of it was; exact where the new one is a whole number of times finer.
export function onPlane(patches: Patches, grid: Grid): Patches {
  if (sameGrid(patches.grid, grid)) return patches;
  return { grid, cells: Uint8Array.from(cover(patches, grid), (share) => (share >= 0.5 - 1e-9 ? 1 : 0)) };
}

// The coarsest plane on which both can be told exactly.
export const finer = (a: Grid, b: Grid): Grid => [multiple(a[0], b[0]), multiple(a[1], b[1])];

function multiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y) [x, y] = [y, x % y];
  const found = (a / x) * b;
  return found <= 1024 ? found : Math.max(a, b);
}
