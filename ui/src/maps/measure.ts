// Numbers of one map, and how they are written.

import type { Heat } from "./series";

export interface Measured {
  mean: number;
  peak: { x: number; y: number; value: number };
  centroid: { x: number; y: number } | null; // in shares of width and height
}

export function measure({ values, width, height }: Heat): Measured {
  let top = 0;
  let sum = 0;
  let sumX = 0;
  let sumY = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value > values[top]!) top = i;
    sum += value;
    sumX += value * ((i % width) + 0.5);
    sumY += value * (Math.floor(i / width) + 0.5);
  }
  return {
    mean: values.length ? sum / values.length : 0,
    peak: { x: top % width, y: Math.floor(top / width), value: values[top] ?? 0 },
    centroid: sum > 0 ? { x: sumX / sum / width, y: sumY / sum / height } : null,
  };
}

// Where a place lies in plain words; x and y in shares of width and height.
export function place(x: number, y: number): string {
  const across = ["left", "middle", "right"][Math.min(2, Math.floor(x * 3))]!;
  const down = ["upper", "middle", "lower"][Math.min(2, Math.floor(y * 3))]!;
  return down === across ? "middle" : `${down} ${across}`;
}

// Three significant digits; a plain zero stays a zero.
export function number(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  return Math.abs(value) < 1e-4 ? value.toExponential(digits - 1) : value.toPrecision(digits);
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  return `${(100 * share).toPrecision(Math.abs(share) < 0.0995 ? 2 : 3)}%`;
}

export function bytes(count: number): string {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]] as const) {
    if (count >= size) return `${(count / size).toPrecision(count / size >= 100 ? 3 : 2)} ${unit}`;
  }
  return `${count} B`;
}
