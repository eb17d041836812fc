// The same painting without a graphics card: a pixel a patch, or finer where values are interpolated.

import { level, table } from "./colours";
import type { Painting } from "./heat";
import type { Heat } from "./series";

const SIDE = 192;

export function paintFlat(canvas: HTMLCanvasElement, { heat, range, colours, smooth, opacity, look, outlines }: Painting): void {
  const fine = smooth || look === "relief" || outlines.length > 0 ? Math.max(1, Math.ceil(SIDE / heat.width)) : 1;
  const width = heat.width * fine;
  const height = heat.height * fine;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.style.imageRendering = smooth ? "auto" : "pixelated";
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(width, height);
  const lut = table(colours);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = { x: (x + 0.5) / width, y: (y + 0.5) / height };
      const share = level(smooth ? valueAt(heat, at) : patchAt(heat, at), range);
      const place = 3 * Math.round(share * 255);
      let [r, g, b, a] = [lut[place]!, lut[place + 1]!, lut[place + 2]!, opacity];
      if (look === "light") [r, g, b, a] = [9, 9, 9, opacity * (1 - share)];
      if (look === "relief") {
        const dx = 0.75 / heat.width;
        const dy = 0.75 / heat.height;
        const across = level(valueAt(heat, { ...at, x: at.x + dx }), range) - level(valueAt(heat, { ...at, x: at.x - dx }), range);
        const down = level(valueAt(heat, { ...at, y: at.y + dy }), range) - level(valueAt(heat, { ...at, y: at.y - dy }), range);
        const shade = 0.35 + 0.95 * Math.max(0, lit(across * 1.6, down * 1.6));
        [r, g, b] = [r * shade, g * shade, b * shade];
      }
      for (const { heat: other, at: threshold, colour } of outlines) {
        const here = valueAt(other, at) > threshold;
        const beside = [{ ...at, x: at.x + 1 / width }, { ...at, y: at.y + 1 / height }];
        if (beside.some((next) => valueAt(other, next) > threshold !== here)) [r, g, b, a] = [...colour, 1];
      }
      const pixel = 4 * (y * width + x);
      image.data[pixel] = r;
      image.data[pixel + 1] = g;
      image.data[pixel + 2] = b;
      image.data[pixel + 3] = Math.round(a * 255);
    }
  }
  context.putImageData(image, 0, 0);
}

function lit(across: number, down: number): number {
  const length = Math.hypot(across, down, 1);
  const light = Math.hypot(0.55, 0.65, 0.9);
  return (across * 0.55 + down * 0.65 + 0.9) / length / light;
}

const inside = (value: number, size: number) => Math.max(0, Math.min(size - 1, value));

export function patchAt({ values, width, height }: Heat, { x, y }: { x: number; y: number }): number {
  return values[inside(Math.floor(y * height), height) * width + inside(Math.floor(x * width), width)] ?? 0;
}

// Bilinear between patch centres, edges held; x and y in shares of width and height.
export function valueAt({ values, width, height }: Heat, { x, y }: { x: number; y: number }): number {
  const px = x * width - 0.5;
  const py = y * height - 0.5;
  const x0 = Math.floor(px);
  const y0 = Math.floor(py);
  const at = (column: number, row: number) => values[inside(row, height) * width + inside(column, width)] ?? 0;
  const top = at(x0, y0) * (1 - px + x0) + at(x0 + 1, y0) * (px - x0);
  const bottom = at(x0, y0 + 1) * (1 - px + x0) + at(x0 + 1, y0 + 1) * (px - x0);
  return top * (1 - py + y0) + bottom * (py - y0);
}
