// Steps as planes behind one another, seen from any side. Coordinates of the atlas, y down; z runs toward the viewer.

import type { Box, Camera, Size } from "./camera";
import { scaleOf } from "./camera";

export interface Angles {
  yaw: number;
  pitch: number;
}

export const ANGLES = {
  first: { yaw: 0.6, pitch: 0.3 } satisfies Angles,
  bounded: ({ yaw, pitch }: Angles): Angles => ({ yaw: Math.max(-1.5, Math.min(1.5, yaw)), pitch: Math.max(-1.2, Math.min(1.2, pitch)) }),
};

const LENS = 2.4; // distance of the eye, in widths of what is seen: a long lens, little distortion

// Which slots are drawn, the noisiest first: at most `most`, spread evenly, the last one always among them.
export function chosenPlanes(slots: readonly (number | null)[], most: number): number[] {
  const steps = slots.flatMap((step, slot) => (step === null ? [] : [slot]));
  if (steps.length <= most) return steps;
  return Array.from({ length: most }, (_, i) => steps[Math.round((i * (steps.length - 1)) / (most - 1))]!);
}

// How far each plane lies from the middle one, the first behind, the last in front.
export function depths(count: number, bounds: Box): number[] {
  const deep = 1.25 * Math.min(bounds.width, 1.6 * bounds.height);
  return Array.from({ length: count }, (_, i) => (count > 1 ? deep * (i / (count - 1) - 0.5) : 0));
}

// A column-major matrix from (x, y, z) of the atlas to clip space. Without angles: straight on, z counts for nothing.
export function matrix(camera: Camera, size: Size, angles: Angles | null): Float32Array {
  const across = 2 / camera.span;
  const down = -across * (size.width / size.height);
  if (!angles) return Float32Array.from([across, 0, 0, 0, 0, down, 0, 0, 0, 0, 0, 0, -camera.x * across, -camera.y * down, 0, 1]);
  const [cy, sy, cp, sp] = [Math.cos(angles.yaw), Math.sin(angles.yaw), Math.cos(angles.pitch), Math.sin(angles.pitch)];
  const eye = LENS * camera.span;
  // Turned about the middle: first by yaw about the upright axis, then by pitch.
  const right = [cy, 0, -sy];
  const below = [-sy * sp, cp, -cy * sp];
  const near = [sy * cp, sp, cy * cp];
  const rows = [right.map((each) => each * across), below.map((each) => each * down), [0, 0, 0], near.map((each) => -each / eye)];
  const shift = (row: number[]) => -(row[0]! * camera.x + row[1]! * camera.y);
  const out = new Float32Array(16);
  rows.forEach((row, i) => {
    out[i] = row[0]!;
    out[4 + i] = row[1]!;
    out[8 + i] = row[2]!;
    out[12 + i] = shift(row) + (i === 3 ? 1 : 0);
  });
  return out;
}

// The point of a plane that is seen at a point of the screen, or null where it is seen edge on.
export function onPlane(at: { x: number; y: number }, z: number, camera: Camera, size: Size, angles: Angles | null): { x: number; y: number } | null {
  const m = matrix(camera, size, angles);
  const [u, v] = [(2 * at.x) / size.width - 1, 1 - (2 * at.y) / size.height];
  // u * w = first row, v * w = second row: two equations in x and y.
  const of = (row: number, target: number) => ({
    x: m[row]! - target * m[3]!,
    y: m[4 + row]! - target * m[7]!,
    rest: m[12 + row]! + m[8 + row]! * z - target * (m[15]! + m[11]! * z),
  });
  const [a, b] = [of(0, u), of(1, v)];
  const det = a.x * b.y - a.y * b.x;
  if (Math.abs(det) < 1e-12 * scaleOf(camera, size)) return null;
  return { x: (-a.rest * b.y + a.y * b.rest) / det, y: (-a.x * b.rest + a.rest * b.x) / det };
}

export function projected(point: { x: number; y: number }, z: number, camera: Camera, size: Size, angles: Angles | null): { x: number; y: number } {
  const m = matrix(camera, size, angles);
  const of = (row: number) => m[row]! * point.x + m[4 + row]! * point.y + m[8 + row]! * z + m[12 + row]!;
  const w = of(3);
  return { x: ((of(0) / w + 1) * size.width) / 2, y: ((1 - of(1) / w) * size.height) / 2 };
}

// How much farther one stands so that turned planes are in view whole.
export const BACK = 1.5;
