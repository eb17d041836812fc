// The particles of the moment as a PLY file, by three's exporter: binary, little endian, y up, sRGB colours.

import { BufferAttribute, BufferGeometry, Points } from "three";
import type { Moment } from "./motion";
import type { Score } from "./score";
import type { Look, Stage } from "./stage";

export async function savePoints(stage: Stage, score: Score, now: Moment, look: Look, count: number): Promise<void> {
  const { PLYExporter } = await import("three/addons/exporters/PLYExporter.js");
  const found = stage.points(now, look, count);
  const three = (from: Float32Array) => new BufferAttribute(Float32Array.from({ length: count * 3 }, (_, i) => from[Math.floor(i / 3) * 4 + (i % 3)]!), 3);
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", three(found.values));
  geometry.setAttribute("color", three(found.colours));
  const data = new PLYExporter().parse(new Points(geometry), () => undefined, { binary: true, littleEndian: true });
  if (!data) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
  link.download = `${score.id}-${now.time.toFixed(4)}.ply`;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  geometry.dispose();
}
