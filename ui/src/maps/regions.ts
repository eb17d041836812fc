// A part of the picture, and its self-attention map from the maps of the grid's single cells.

import type { Heat } from "./series";

export type Point = { x: number; y: number };

// The text form of `Selection.region`, from pixels of the picture.
export const pixelRegion = ({ x, y }: Point): string => `pixel:${Math.floor(x)},${Math.floor(y)}`;

export function boxRegion(a: Point, b: Point): string {
  const [x0, x1] = [Math.min(a.x, b.x), Math.max(a.x, b.x)].map(Math.floor);
  const [y0, y1] = [Math.min(a.y, b.y), Math.max(a.y, b.y)].map(Math.floor);
  return `box:${x0},${y0},${x1},${y1}`;
}

export function lassoRegion(points: readonly Point[]): string | null {
  const kept = points.filter((point, i) => i === 0 || Math.hypot(point.x - points[i - 1]!.x, point.y - points[i - 1]!.y) > 0);
  if (kept.length < 3) return null;
  const text = kept.map(({ x, y }) => `${plain(x)},${plain(y)}`);
  return `contour:${text.join(";")}`;
}

const plain = (value: number) => String(Math.round(value * 10) / 10);

export interface Shape {
  kind: "pixel" | "box" | "contour";
  points: Point[]; // the pixel; both corners, inclusive; or the contour's corners
}

export function shapeOf(region: string): Shape | null {
  const [kind, rest = ""] = region.split(/:(.*)/s);
  const numbers = rest.split(/[;,]/).map(Number);
  if (numbers.some((each) => !Number.isFinite(each)) || numbers.length % 2) return null;
  const points = Array.from({ length: numbers.length / 2 }, (_, i) => ({ x: numbers[2 * i]!, y: numbers[2 * i + 1]! }));
  if (kind === "pixel" && points.length === 1) return { kind, points };
  if (kind === "box" && points.length === 2) return { kind, points };
  if (kind === "contour" && points.length >= 3) return { kind, points };
  return null;
}

// Area of each cell that the shape covers, row-major, in pixels of the picture.
export function coverage(shape: Shape, grid: readonly [number, number], picture: { width: number; height: number }): Float64Array {
  const [rows, columns] = grid;
  const weights = new Float64Array(rows * columns);
  const cellX = picture.width / columns;
  const cellY = picture.height / rows;
  const contour = shape.kind === "contour";
  const [a, b = a] = shape.points as [Point, Point?];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      weights[y * columns + x] = contour
        ? inContour(shape.points, x * cellX, y * cellY, cellX, cellY)
        : overlap(a.x, b.x + 1, x * cellX, cellX) * overlap(a.y, b.y + 1, y * cellY, cellY);
    }
  }
  return weights;
}

const overlap = (from: number, to: number, start: number, size: number) => Math.max(0, Math.min(to, start + size) - Math.max(from, start));

// Area of a polygon inside a rectangle: cut along its four sides one after another (Sutherland and Hodgman 1974), then
// the shoelace formula. What cutting leaves along a side of a hollow shape encloses nothing.
function inContour(points: readonly Point[], x: number, y: number, width: number, height: number): number {
  let left = [...points];
  for (const [axis, at, sign] of [["x", x, 1], ["x", x + width, -1], ["y", y, 1], ["y", y + height, -1]] as const) {
    const depth = (point: Point) => sign * (point[axis] - at);
    left = left.flatMap((point, i) => {
      const before = left[(i + left.length - 1) % left.length]!;
      const [from, to] = [depth(before), depth(point)];
      const kept = to >= 0 ? [point] : [];
      if (from >= 0 === to >= 0) return kept;
      const share = from / (from - to);
      return [{ x: before.x + share * (point.x - before.x), y: before.y + share * (point.y - before.y) }, ...kept];
    });
  }
  let twice = 0;
  left.forEach((point, i) => {
    const before = left[(i + left.length - 1) % left.length]!;
    twice += before.x * point.y - point.x * before.y;
  });
  return Math.abs(twice) / 2;
}

// The mean of the cells' maps `[cell, y, x]`, weighted by what the region covers of each.
export function regionMap(cells: readonly Float32Array[], weights: Float64Array, width: number): Heat {
  const area = cells[0]!.length;
  const values = new Float64Array(area);
  let total = 0;
  weights.forEach((weight, cell) => {
    if (weight <= 0) return;
    total += weight;
    const map = cells[cell]!;
    for (let i = 0; i < area; i++) values[i]! += weight * map[i]!;
  });
  return { values: Float32Array.from(values, (value) => (total > 0 ? value / total : 0)), width, height: area / width };
}

// DAAM-I2I's iteration: patches below the threshold, relative to the map's own range, are dropped; the rest ask on.
export function diffused(cells: readonly Float32Array[], start: Heat, iterations = 5, threshold = 0.5): Heat {
  let now = start;
  for (let i = 0; i < iterations; i++) {
    let low = Infinity;
    let high = -Infinity;
    for (const value of now.values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const weights = Float64Array.from(now.values, (value) => (value < low + threshold * (high - low) ? 0 : value));
    now = regionMap(cells, weights, now.width);
  }
  return now;
}
