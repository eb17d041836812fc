// The same atlas without a graphics card: each map is a small canvas, coloured once and then scaled. It lies flat: planes
// need WebGL.

import { table } from "../../maps/colours";
import { toScreen } from "./camera";
import { boxOf, type Placed } from "./layout";
import { LabelSheet } from "./labels";
import { GROUND, type Arrangement, type AtlasPainter, type Frame } from "./painter";
import { cellRange, symmetric, type Range, type Tiles } from "./tiles";

export class FlatPainter implements AtlasPainter {
  readonly kind = "2d" as const;
  private held = { tiles: null as Tiles | null, fine: null as Tiles | null };
  private arrangement: Arrangement | null = null;
  private readonly sheet = new LabelSheet();
  private readonly maps = new Map<number, HTMLCanvasElement>();
  private coloured = "";

  constructor(private readonly canvas: HTMLCanvasElement) {}

  tiles(tiles: Tiles | null): void {
    this.held.tiles = tiles;
    this.coloured = "";
  }

  fine(tiles: Tiles | null): void {
    this.held.fine = tiles;
    this.coloured = "";
  }

  forget(): void {
    this.sheet.forget();
  }

  arrange(arrangement: Arrangement): void {
    this.arrangement = arrangement;
  }

  paint(frame: Frame): void {
    const { canvas, arrangement, held: { tiles } } = this;
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) return;
    const { size, ratio, camera } = frame;
    const width = Math.max(1, Math.round(size.width * ratio));
    const height = Math.max(1, Math.round(size.height * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = `rgb(${GROUND.join(" ")})`;
    context.fillRect(0, 0, width, height);
    context.imageSmoothingEnabled = frame.smooth;
    if (!tiles || !arrangement) return;
    const colouring = `${frame.slot} ${frame.range?.low} ${frame.range?.high} ${frame.colours}`;
    if (colouring !== this.coloured) this.maps.clear();
    this.coloured = colouring;
    const scale = (size.width / camera.span) * ratio;
    for (let cell = 0; cell < arrangement.after.length; cell++) {
      const box = between(arrangement.from, arrangement.to, cell, frame.share);
      const shown = arrangement.before[cell]! + (arrangement.after[cell]! - arrangement.before[cell]!) * frame.share;
      if (!box || shown < 0.004 || tiles.place[cell]! < 0) continue;
      const at = toScreen(box, camera, size);
      const [x, y, w, h] = [at.x * ratio, at.y * ratio, box.width * scale, box.height * scale];
      if (x > width || y > height || x + w < 0 || y + h < 0) continue;
      context.globalAlpha = shown;
      const [r, g, b, a] = arrangement.tint.subarray(4 * cell, 4 * cell + 4) as unknown as [number, number, number, number];
      if (a > 0) {
        const m = frame.margin * scale;
        context.fillStyle = `rgb(${r * 255} ${g * 255} ${b * 255} / ${a})`;
        context.fillRect(x - m, y - m, w + 2 * m, h + 2 * m);
      }
      context.drawImage(this.map(tiles, cell, frame), x, y, w, h);
    }
    context.globalAlpha = 1;
    const flat = this.sheet.place(frame.labels, ratio);
    for (let i = 0; i < flat.length; i += 9) {
      const [x, y, w, h, sx, sy, sw, sh] = flat.subarray(i, i + 8) as unknown as [number, number, number, number, number, number, number, number];
      if (w > 0) context.drawImage(this.sheet.canvas, sx, sy, sw, sh, x, y, w, h);
    }
  }

  private map(overview: Tiles, cell: number, frame: Frame): HTMLCanvasElement {
    const known = this.maps.get(cell);
    if (known) return known;
    const { fine } = this.held;
    const near = fine !== null && fine.place[cell]! >= 0;
    const tiles = near ? fine : overview;
    const slot = near ? 0 : frame.slot;
    const own = cellRange(tiles, slot, cell)!;
    const ends: Range = tiles.content.signed ? symmetric(frame.range ?? own) : (frame.range ?? own);
    const [width, height] = [tiles.width[cell]!, tiles.height[cell]!];
    const made = Object.assign(document.createElement("canvas"), { width, height });
    const context = made.getContext("2d");
    if (context) {
      const image = context.createImageData(width, height);
      const colours = table(frame.colours);
      const first = tiles.first[cell]! + slot * tiles.stride[cell]!;
      const flat = tiles.content.signed ? 0.5 : 0;
      for (let i = 0; i < width * height; i++) {
        const value = own.low + ((own.high - own.low) * tiles.bytes[first + i]!) / 255;
        const level = ends.high > ends.low ? Math.min(1, Math.max(0, (value - ends.low) / (ends.high - ends.low))) : flat;
        const at = 3 * Math.round(level * 255);
        image.data.set([colours[at]!, colours[at + 1]!, colours[at + 2]!, 255], 4 * i);
      }
      context.putImageData(image, 0, 0);
    }
    this.maps.set(cell, made);
    return made;
  }

  dispose(): void {
    this.maps.clear();
  }
}

function between(from: Placed, to: Placed, cell: number, share: number) {
  const [a, b] = [boxOf(from, cell), boxOf(to, cell)];
  if (!a || !b) return b ?? a;
  const mix = (one: number, other: number) => one + (other - one) * share;
  return { x: mix(a.x, b.x), y: mix(a.y, b.y), width: mix(a.width, b.width), height: mix(a.height, b.height) };
}
