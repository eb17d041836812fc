// Where each cell lies. A model's flow runs from left to right, a site a column, its heads from top to bottom; the sites of
// a UNet sink with each halving of the grid, so that it stands there as a U. Ranked, cells are read like lines of text.

import type { Box } from "./camera";
import { columnsOf, placeName, type Cell } from "./cells";

export const GAP = 0.14; // between cells, in widths of a cell
export const BLOCK_GAP = 0.6;
const SINK = 1.5; // how far a level of the U lies below the one above it, in cells
const TITLE = 1; // room of what stands above a column
const SITE = 0.5; // of which the site's name takes this
const LINE = 0.3; // between lines of ranked cells: a name fits in

export interface Caption {
  text: string;
  short: string; // where the text does not fit
  x: number;
  y: number; // of its foot
  width: number; // what it stands over
  level: "block" | "site" | "group";
}

export interface Placed {
  // x, y, width, height of each cell, by its index; width 0: it has no place.
  boxes: Float32Array;
  captions: Caption[];
  bounds: Box;
  flow: boolean;
}

export interface Group {
  title: string | null;
  cells: readonly Cell[];
}

// As the data flows: `sinking` for a UNet. `aspect` is height by width of a cell.
export function flowLayout(cells: readonly Cell[], count: number, aspect: number, sinking: boolean): Placed {
  const boxes = new Float32Array(4 * count);
  const captions: Caption[] = [];
  const rise = aspect + GAP;
  let x = 0;
  let bottom = 0;
  let block: { name: string; from: number; y: number } | undefined;
  const close = (ended: typeof block) => {
    if (ended) captions.push({ text: ended.name.replace(".", " "), short: ended.name.replace(/^([a-z])[a-z]*\.?/, "$1"), x: ended.from, y: ended.y - SITE, width: x - GAP - ended.from, level: "block" });
  };
  for (const column of columnsOf(cells)) {
    // The blocks of a transformer are one each: there the stage is what belongs together.
    const name = sinking ? column.block : column.stage;
    const y = sinking ? column.depth * SINK * rise : 0;
    if (block?.name !== name) {
      close(block);
      if (block) x += BLOCK_GAP;
      block = { name, from: x, y };
    }
    column.cells.forEach((cell, row) => boxes.set([x, y + row * rise, 1, aspect], 4 * cell.index));
    const place = placeName(column.site);
    const inner = place.startsWith(`${column.block}.`) ? place.slice(column.block.length + 1) : place;
    captions.push({ text: place, short: inner, x, y: y - GAP / 2, width: 1, level: "site" });
    bottom = Math.max(bottom, y + column.cells.length * rise - GAP);
    x += 1 + GAP;
  }
  close(block);
  return { boxes, captions, bounds: { x: 0, y: -TITLE, width: Math.max(1, x - GAP), height: Math.max(1, bottom + TITLE) }, flow: true };
}

// Lines of cells, as many in each as make the whole about as wide, by its height, as the stage is.
export function rankedLayout(groups: readonly Group[], count: number, aspect: number, stage: number): Placed {
  const boxes = new Float32Array(4 * count);
  const captions: Caption[] = [];
  const shown = groups.filter(({ cells }) => cells.length > 0);
  const total = shown.reduce((sum, { cells }) => sum + cells.length, 0);
  const rise = aspect + LINE;
  const line = Math.max(1, Math.ceil(Math.sqrt((total * rise * Math.max(0.3, stage)) / (1 + GAP))));
  let y = 0;
  shown.forEach(({ title, cells }, i) => {
    if (title !== null) {
      if (i > 0) y += TITLE;
      captions.push({ text: title, short: title, x: 0, y: y - GAP / 2, width: Math.min(line, cells.length) * (1 + GAP) - GAP, level: "group" });
    }
    cells.forEach((cell, at) => boxes.set([(at % line) * (1 + GAP), y + Math.floor(at / line) * rise, 1, aspect], 4 * cell.index));
    y += Math.ceil(cells.length / line) * rise;
  });
  const width = Math.max(1, Math.min(line, Math.max(1, ...shown.map(({ cells }) => cells.length))) * (1 + GAP) - GAP);
  return { boxes, captions, bounds: { x: 0, y: -TITLE, width, height: Math.max(1, y - LINE + TITLE) }, flow: false };
}

// The cell at a point of the atlas, or null between cells.
export function cellIndexAt({ boxes }: Placed, x: number, y: number): number | null {
  for (let i = 0; i < boxes.length; i += 4) {
    const width = boxes[i + 2]!;
    if (width > 0 && x >= boxes[i]! && x < boxes[i]! + width && y >= boxes[i + 1]! && y < boxes[i + 1]! + boxes[i + 3]!) return i / 4;
  }
  return null;
}

export function boxOf({ boxes }: Placed, index: number): Box | null {
  const width = boxes[4 * index + 2] ?? 0;
  return width > 0 ? { x: boxes[4 * index]!, y: boxes[4 * index + 1]!, width, height: boxes[4 * index + 3]! } : null;
}

// The next cell in a direction: the nearest whose middle lies within 45 degrees of it; null at the edge.
export function neighbour(placed: Placed, from: number, right: number, down: number): number | null {
  const start = boxOf(placed, from);
  if (!start) return null;
  let best: number | null = null;
  let least = Infinity;
  for (let i = 0; i < placed.boxes.length / 4; i++) {
    const box = boxOf(placed, i);
    if (!box || i === from) continue;
    const [dx, dy] = [box.x - start.x, box.y - start.y];
    const along = dx * right + dy * down;
    const aside = Math.abs(dx * down) + Math.abs(dy * right);
    if (along < 0.5 || aside > along + 1e-3) continue;
    const far = along + 2 * aside;
    if (far < least) [least, best] = [far, i];
  }
  return best;
}
