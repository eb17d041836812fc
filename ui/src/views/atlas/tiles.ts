// The maps of all cells of one content, as they come: a byte a patch, between the least and the greatest value of its own
// map. They go to the graphics card as they are; values are worked out where they are asked for.

import type { TensorFile } from "../../api/safetensors";
import type { Content } from "./cells";

export const ROW = 2048; // bytes in a line of the texture

export interface Tiles {
  content: Content;
  unit: string;
  label: string;
  aggregation: string;
  slots: (number | null)[]; // step of each slot; null for the mean over the steps
  bytes: Uint8Array; // all maps, filled up to whole lines
  // By the cell's number in the atlas; -1 and 0 where this content has no such cell.
  place: Int32Array; // its place in the axis of `low`, `high`, `mass`
  first: Int32Array; // where its map of slot 0 begins
  stride: Int32Array; // and how far the next slot's is from it
  width: Int32Array;
  height: Int32Array;
  count: number; // cells here
  low: Float32Array; // [slot, place]
  high: Float32Array;
  mass: Float32Array;
}

interface StoredSite {
  index: number;
  name: string;
  heads: number[];
  stored: [number, number];
  first: number;
}

export function tilesOf(file: TensorFile, content: Content, firsts: ReadonlyMap<number, { first: number; heads: readonly number[] }>, cells: number): Tiles {
  const { metadata, tensors } = file;
  const sites = JSON.parse(metadata.sites ?? "[]") as StoredSite[];
  const slots = (JSON.parse(metadata.slots ?? '["mean"]') as (number | "mean")[]).map((slot) => (slot === "mean" ? null : slot));
  const blank = () => new Int32Array(cells);
  const [place, first, stride, width, height] = [blank().fill(-1), blank(), blank(), blank(), blank()];
  const total = sites.reduce((sum, { index }) => sum + (tensors[`maps/${index}`]?.shape.reduce((a, b) => a * b, 1) ?? 0), 0);
  const bytes = new Uint8Array(Math.max(1, Math.ceil(total / ROW)) * ROW);
  let at = 0;
  let count = 0;
  for (const site of sites) {
    const tensor = tensors[`maps/${site.index}`];
    const whole = firsts.get(site.index);
    if (!tensor?.bytes || !whole) continue;
    const [rows, columns] = tensor.shape.slice(-2) as [number, number];
    const area = rows * columns;
    site.heads.forEach((head, i) => {
      const cell = whole.first + whole.heads.indexOf(head);
      place[cell] = site.first + i;
      first[cell] = at + i * area;
      stride[cell] = site.heads.length * area;
      width[cell] = columns;
      height[cell] = rows;
    });
    bytes.set(tensor.bytes, at);
    at += tensor.bytes.length;
    count = Math.max(count, site.first + site.heads.length);
  }
  const named = (name: string) => tensors[name]?.values ?? new Float32Array(slots.length * count);
  return {
    content,
    unit: metadata.unit ?? content.unit,
    label: metadata.label ?? content.label,
    aggregation: metadata.aggregation ?? "",
    slots, bytes, place, first, stride, width, height, count,
    low: named("min"), high: named("max"), mass: named("mean"),
  };
}

// The slot of a step; of the mean over steps for null. Where a step has none, the nearest.
export function slotOf({ slots }: Pick<Tiles, "slots">, step: number | null): number {
  const exact = slots.indexOf(step);
  if (exact >= 0) return exact;
  let best = 0;
  let least = Infinity;
  slots.forEach((slot, i) => {
    const far = slot === null || step === null ? Infinity : Math.abs(slot - step);
    if (far < least) [least, best] = [far, i];
  });
  return best;
}

export interface Range {
  low: number;
  high: number;
}

export function cellRange(tiles: Tiles, slot: number, cell: number): Range | null {
  const place = tiles.place[cell] ?? -1;
  if (place < 0) return null;
  const at = slot * tiles.count + place;
  return { low: tiles.low[at]!, high: tiles.high[at]! };
}

// The mean of a cell's map over its patches, as it was computed; null where there is no such map.
export function cellMass(tiles: Tiles, slot: number, cell: number): number | null {
  const place = tiles.place[cell] ?? -1;
  return place < 0 ? null : tiles.mass[slot * tiles.count + place]!;
}

// The value of a patch, and by how much it may be off: bytes are steps of the map's own range.
export function valueAt(tiles: Tiles, slot: number, cell: number, column: number, row: number): { value: number; error: number } | null {
  const range = cellRange(tiles, slot, cell);
  if (!range) return null;
  const [width, height] = [tiles.width[cell]!, tiles.height[cell]!];
  if (column < 0 || row < 0 || column >= width || row >= height) return null;
  const byte = tiles.bytes[tiles.first[cell]! + slot * tiles.stride[cell]! + row * width + column]!;
  return { value: range.low + ((range.high - range.low) * byte) / 255, error: (range.high - range.low) / 510 };
}

// The range of colours over cells and slots; about zero where values have signs.
export function sharedRange(tiles: Tiles, cells: readonly number[], slots: readonly number[]): Range {
  let low = Infinity;
  let high = -Infinity;
  for (const slot of slots) {
    for (const cell of cells) {
      const range = cellRange(tiles, slot, cell);
      if (!range) continue;
      low = Math.min(low, range.low);
      high = Math.max(high, range.high);
    }
  }
  if (low > high) return { low: 0, high: 1 };
  return tiles.content.signed ? symmetric({ low, high }) : { low, high };
}

export function symmetric({ low, high }: Range): Range {
  const most = Math.max(Math.abs(low), Math.abs(high));
  return { low: -most, high: most };
}
