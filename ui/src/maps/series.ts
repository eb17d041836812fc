// Maps of one question over the steps: `[step, y, x]`, attention probabilities, never scaled for display.

import type { TensorFile } from "../api/safetensors";

export interface Heat {
  values: Float32Array; // [y, x]
  width: number;
  height: number;
}

export interface Series {
  label: string;
  unit: string;
  aggregation: string;
  exact: boolean; // float32 as computed; else rounded to float16 on the way
  width: number;
  height: number;
  steps: number[]; // index of the step of each map
  maps: Float32Array[];
  mass: Float32Array; // mean of each map over its patches
}

export function seriesOf(file: TensorFile, fallback: { label: string; steps: number[] }): Series {
  const tensor = file.tensors.maps;
  if (!tensor || tensor.shape.length < 2) throw new Error("the answer holds no maps");
  const [height, width] = tensor.shape.slice(-2) as [number, number];
  const area = width * height;
  const scale = Number(file.metadata.scale ?? 1) || 1;
  const count = tensor.values.length / area;
  const maps = Array.from({ length: count }, (_, i) => scaled(tensor.values.subarray(i * area, (i + 1) * area), scale));
  return {
    label: file.metadata.label ?? fallback.label,
    unit: file.metadata.unit ?? "attention probability",
    aggregation: file.metadata.aggregation ?? "",
    exact: tensor.dtype === "F32",
    width,
    height,
    steps: listed(file.metadata.steps, count) ?? fallback.steps.slice(0, count),
    maps,
    mass: file.tensors.mean?.values.length === count ? file.tensors.mean.values : Float32Array.from(maps, mean),
  };
}

function listed(text: string | undefined, count: number): number[] | null {
  if (!text) return null;
  const list: unknown = JSON.parse(text);
  return Array.isArray(list) && list.length === count ? (list as number[]) : null;
}

function scaled(values: Float32Array, scale: number): Float32Array {
  return scale === 1 ? values : values.map((value) => value * scale);
}

export function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length ? sum / values.length : 0;
}

// The mean over some steps: each map is that of one step, and all count alike. Null where none of them is there.
export function meanOver(series: Series, steps: readonly number[]): Heat | null {
  const places = steps.map((step) => series.steps.indexOf(step)).filter((place) => place >= 0);
  const { width, height } = series;
  if (places.length === 0) return null;
  if (places.length === 1) return { values: series.maps[places[0]!]!, width, height };
  const values = new Float32Array(width * height);
  for (const place of places) {
    const map = series.maps[place]!;
    for (let i = 0; i < values.length; i++) values[i]! += map[i]!;
  }
  for (let i = 0; i < values.length; i++) values[i]! /= places.length;
  return { values, width, height };
}

// Several words together: their maps add up, as `run.phrase` adds them.
export function sumOf(parts: readonly Series[]): Series {
  const first = parts[0]!;
  if (parts.length === 1) return first;
  const maps = first.maps.map((map, at) =>
    map.map((value, i) => parts.slice(1).reduce((total, other) => total + (other.maps[at]?.[i] ?? 0), value)),
  );
  return { ...first, label: parts.map((part) => part.label).join(" + "), maps, mass: Float32Array.from(maps, mean) };
}

export function extent(maps: readonly Float32Array[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const map of maps) {
    for (const value of map) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : [0, 1];
}
