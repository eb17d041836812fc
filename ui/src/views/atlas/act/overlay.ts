// The layers over the atlas's cells: each layer's patches, carried to each cell's own grid, and a frame around its heads.

import { cover, gridText, type Grid, type Patches } from "../../../maps/patches";
import type { Cell } from "../cells";
import type { AtlasHandle } from "../handle";
import { liveStroke } from "./stroke";
import { actsAt, colourOf, type Work } from "./work";

type Shares = ReadonlyMap<string, HTMLCanvasElement>;
const painted = new WeakMap<Patches, Map<string, HTMLCanvasElement>>();
export const OPACITY = 0.55;

// A picture of a cell a pixel: the colour, as strong as the share of the cell that is chosen.
export function shareCanvas(patches: Patches, grid: Grid, colour: string): HTMLCanvasElement {
  const known: Map<string, HTMLCanvasElement> | Shares = painted.get(patches) ?? new Map<string, HTMLCanvasElement>();
  const key = `${gridText(grid)} ${colour}`;
  const found = known.get(key);
  if (found) return found;
  const canvas = document.createElement("canvas");
  paintShares(canvas, patches, grid, colour);
  (known as Map<string, HTMLCanvasElement>).set(key, canvas);
  painted.set(patches, known as Map<string, HTMLCanvasElement>);
  return canvas;
}

export function paintShares(canvas: HTMLCanvasElement, patches: Patches | null, grid: Grid, colour: string): void {
  const [height, width] = grid;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(width, height);
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)) as [number, number, number];
  const shares = patches && cover(patches, grid);
  for (let i = 0; i < width * height; i++) {
    image.data[4 * i] = r;
    image.data[4 * i + 1] = g;
    image.data[4 * i + 2] = b;
    image.data[4 * i + 3] = Math.round(255 * (shares ? shares[i]! : 1));
  }
  context.putImageData(image, 0, 0);
}

export function drawLayers(context: CanvasRenderingContext2D, handle: AtlasHandle, work: Work): void {
  const cells = handle.visible();
  const stroke = liveStroke();
  context.imageSmoothingEnabled = false;
  work.layers.forEach((layer, place) => {
    if (!layer.visible) return;
    const now = place === work.now;
    const patches = now && stroke ? stroke.patches : layer.patches;
    const named = new Set(layer.heads);
    const colour = colourOf(place);
    for (const cell of cells) {
      const meant = actsAt(layer.kind, cell) && (named.size === 0 || named.has(cell.id));
      if (!meant) continue;
      const rect = handle.rectOf(cell);
      if (!rect) continue;
      if (patches) {
        context.globalAlpha = OPACITY;
        context.drawImage(shareCanvas(patches, cell.grid, colour), rect.x, rect.y, rect.width, rect.height);
        context.globalAlpha = 1;
      }
      if (named.size > 0) frame(context, rect, colour, now, place);
    }
  });
}

function frame(context: CanvasRenderingContext2D, { x, y, width, height }: { x: number; y: number; width: number; height: number }, colour: string, now: boolean, place: number): void {
  const wide = Math.max(1, Math.min(now ? 3 : 1.5, width / 10));
  const by = Math.min(place * 1.5, width / 8);
  context.strokeStyle = "#000a";
  context.lineWidth = wide + 1.5;
  context.strokeRect(x + by, y + by, width - 2 * by, height - 2 * by);
  context.strokeStyle = colour;
  context.lineWidth = wide;
  context.strokeRect(x + by, y + by, width - 2 * by, height - 2 * by);
}

// The line of a box or lasso in the making, in cells of the grid that is painted on.
export function drawOutline(context: CanvasRenderingContext2D, rect: { x: number; y: number; width: number; height: number }, colour: string): void {
  const stroke = liveStroke();
  if (!stroke || stroke.outline.length < 2) return;
  const [rows, columns] = stroke.grid;
  const at = ({ x, y }: { x: number; y: number }) => [rect.x + (x / columns) * rect.width, rect.y + (y / rows) * rect.height] as const;
  context.beginPath();
  if (stroke.tool === "box") {
    const [a, b] = [at(stroke.outline[0]!), at(stroke.outline[1]!)];
    context.rect(Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1]));
  } else {
    stroke.outline.forEach((point, i) => (i ? context.lineTo(...at(point)) : context.moveTo(...at(point))));
    context.closePath();
  }
  for (const [style, width] of [["#000c", 3], [colour, 1.5]] as const) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }
}

export const cellsMeant = (work: Work, cells: readonly Cell[]): boolean => work.layers.some((layer) => layer.visible && (layer.heads.length > 0 || layer.patches !== null)) && cells.length > 0;
