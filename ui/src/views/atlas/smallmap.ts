// The small map of where one is: drawn once a layout; what moves is a frame of the page.

import { scaleOf, type Box, type Camera, type Size } from "./camera";
import type { Cell } from "./cells";
import { boxOf, type Placed } from "./layout";

const WIDE = 150; // CSS pixels, at most
const HIGH = 100;

export class SmallMap {
  private drawn: Placed | null = null;

  constructor(private readonly canvas: HTMLCanvasElement, private readonly frame: HTMLElement, private readonly cells: readonly Cell[]) {}

  // Shown where less than three quarters of the atlas are in view.
  draw({ placed, seen, chosen }: { placed: Placed; seen: Float32Array; chosen: Uint8Array }, camera: Camera, size: Size, ratio: number, flat: boolean): void {
    const { bounds } = placed;
    const host = this.canvas.parentElement!;
    const [across, down] = [camera.span, size.height / scaleOf(camera, size)];
    host.hidden = !flat || size.width < 520 || (across >= 0.75 * bounds.width && down >= 0.75 * bounds.height);
    if (host.hidden) return;
    const scale = scaleIn(bounds);
    if (this.drawn !== placed) {
      this.drawn = placed;
      this.paint(placed, seen, chosen, scale, Math.min(2, ratio));
    }
    const clip = (value: number, most: number) => Math.max(0, Math.min(most, value * scale));
    const [width, height] = [bounds.width * scale, bounds.height * scale];
    const left = clip(camera.x - across / 2 - bounds.x, width);
    const top = clip(camera.y - down / 2 - bounds.y, height);
    this.frame.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px)`;
    this.frame.style.width = `${(clip(camera.x + across / 2 - bounds.x, width) - left).toFixed(1)}px`;
    this.frame.style.height = `${(clip(camera.y + down / 2 - bounds.y, height) - top).toFixed(1)}px`;
  }

  // The point of the atlas at a point of the map.
  at(x: number, y: number, bounds: Box): { x: number; y: number } {
    const scale = scaleIn(bounds);
    return { x: bounds.x + x / scale, y: bounds.y + y / scale };
  }

  private paint(placed: Placed, seen: Float32Array, chosen: Uint8Array, scale: number, dense: number): void {
    const { bounds } = placed;
    const { canvas } = this;
    Object.assign(canvas, { width: Math.ceil(bounds.width * scale * dense), height: Math.ceil(bounds.height * scale * dense) });
    Object.assign(canvas.style, { width: `${bounds.width * scale}px`, height: `${bounds.height * scale}px` });
    const context = canvas.getContext("2d");
    if (!context) return;
    context.scale(scale * dense, scale * dense);
    context.fillStyle = "#7d7a74";
    for (const { index } of this.cells) {
      const box = boxOf(placed, index);
      if (!box || seen[index]! <= 0) continue;
      context.globalAlpha = chosen[index] ? 1 : 0.3;
      context.fillRect(box.x - bounds.x, box.y - bounds.y, box.width, box.height);
    }
  }
}

const scaleIn = ({ width, height }: Box): number => Math.min(WIDE / width, HIGH / height);
