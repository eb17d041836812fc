// Names on the atlas: blocks, sites, heads. Each text is drawn once into a sheet of letters; the card copies it from there.

import { toScreen, type Camera, type Size } from "./camera";
import { placeName, type Cell } from "./cells";
import { BLOCK_GAP, boxOf, GAP, type Placed } from "./layout";

export interface Label {
  text: string;
  x: number; // CSS pixels of its anchor; y is that of its foot
  y: number;
  align: "left" | "center" | "right";
  style: LabelStyle;
}

export type LabelStyle = "block" | "site" | "head";

const STYLES: Record<LabelStyle, { size: number; weight: number; colour: string }> = {
  block: { size: 13, weight: 600, colour: "#eceae6" },
  site: { size: 11, weight: 500, colour: "#b9b6af" },
  head: { size: 11, weight: 500, colour: "#b9b6af" },
};
const PAD = 4; // CSS pixels around a text
const SANS = 'Hanken, system-ui, sans-serif';
export const LETTERS = "500 11px Hanken";
const WIDE = 2048;
const HIGH = 2048;

export const lineHeight = (style: LabelStyle): number => Math.ceil(STYLES[style].size * 1.25);

// Good enough to know whether a text fits, before it is drawn.
export const guessedWidth = (text: string, style: LabelStyle): number => text.length * STYLES[style].size * 0.56 + 2 * PAD;

// What is written at this distance: names of sites where cells are wide enough, of their blocks else; numbers of heads in
// front of each block, or in ranked lines the name of each cell. What would leave the stage at the top or the left stays at
// its edge for as long as any of its cells is seen.
export function labelsOf(placed: Placed, cells: readonly Cell[], shown: (cell: Cell) => boolean, camera: Camera, size: Size, ranks: readonly number[] | null): Label[] {
  const labels: Label[] = [];
  const scale = size.width / camera.span;
  const top = lineHeight("block") + 4;
  const onStage = (x: number, y: number, width: number, height: number) => x < size.width && y < size.height && x + width > 0 && y + height > 0;
  const ends = columnEnds(placed, cells);
  for (const caption of placed.captions) {
    const at = toScreen(caption, camera, size);
    const width = caption.width * scale;
    const foot = toScreen({ x: caption.x, y: ends.get(`${caption.level} ${caption.x}`) ?? caption.y }, camera, size).y;
    if (!onStage(at.x, Math.min(at.y, 0), width, Math.max(foot, at.y) - Math.min(at.y, 0) + 1)) continue;
    const sites = scale >= 30 && placed.flow;
    if (caption.level === "block") {
      const text = guessedWidth(caption.text, "block") < width + BLOCK_GAP * scale ? caption.text : guessedWidth(caption.short, "block") < width + 6 ? caption.short : null;
      // Held in sight while its block is.
      const x = Math.min(Math.max(at.x + width / 2, 34), Math.max(at.x + width - 20, at.x + width / 2));
      const y = sites ? Math.max(at.y, top) : Math.max(toScreen({ x: 0, y: caption.y + 0.4 }, camera, size).y, top);
      if (text && (at.y > 0 || foot > top * 2)) labels.push({ text, x: Math.min(x, size.width - 10), y, align: "center", style: "block" });
    } else if (caption.level === "group") {
      labels.push({ text: caption.text, x: Math.max(at.x, 6), y: Math.max(at.y, top), align: "left", style: "block" });
    } else if (sites) {
      const text = guessedWidth(caption.text, "site") < width + 4 ? caption.text : guessedWidth(caption.short, "site") < width + 4 ? caption.short : null;
      if (text && foot > top * 2) labels.push({ text, x: at.x + width / 2, y: Math.max(at.y, top + lineHeight("site") + 2), align: "center", style: "site" });
    }
  }
  if (placed.flow && scale >= 15) labels.push(...headNumbers(placed, cells, shown, camera, size));
  if (!placed.flow && scale >= 58) labels.push(...cellNames(placed, cells, shown, camera, size, ranks));
  return labels;
}

// The foot of each column, and of the columns of each block, by what its caption begins at.
const feet = new WeakMap<Placed, Map<string, number>>();
function columnEnds(placed: Placed, cells: readonly Cell[]): Map<string, number> {
  let found = feet.get(placed);
  if (!found) {
    found = new Map();
    for (const caption of placed.captions) {
      let foot = caption.y;
      for (const cell of cells) {
        const box = boxOf(placed, cell.index);
        if (box && box.x >= caption.x - 1e-3 && box.x < caption.x + caption.width) foot = Math.max(foot, box.y + box.height);
      }
      found.set(`${caption.level} ${caption.x}`, foot);
    }
    feet.set(placed, found);
  }
  return found;
}

function headNumbers(placed: Placed, cells: readonly Cell[], shown: (cell: Cell) => boolean, camera: Camera, size: Size): Label[] {
  const labels: Label[] = [];
  for (const block of placed.captions) {
    if (block.level !== "block") continue;
    // Between blocks they need room of their own.
    if (block.x > 0 && (size.width / camera.span) * (BLOCK_GAP + GAP) < 17) continue;
    const left = toScreen({ x: block.x, y: 0 }, camera, size).x;
    const right = left + (block.width * size.width) / camera.span;
    if (right < 40 || left > size.width) continue;
    for (const cell of cells) {
      const box = boxOf(placed, cell.index);
      if (!box || !shown(cell) || Math.abs(box.x - block.x) > 1e-3) continue;
      const at = toScreen({ x: box.x, y: box.y + box.height / 2 }, camera, size);
      if (at.y < 4 || at.y > size.height - 4) continue;
      labels.push({ text: String(cell.head), x: Math.max(left - 1, 20), y: at.y + lineHeight("head") / 2, align: "right", style: "head" });
    }
  }
  return labels;
}

function cellNames(placed: Placed, cells: readonly Cell[], shown: (cell: Cell) => boolean, camera: Camera, size: Size, ranks: readonly number[] | null): Label[] {
  const labels: Label[] = [];
  const scale = size.width / camera.span;
  for (const cell of cells) {
    const box = boxOf(placed, cell.index);
    if (!box || !shown(cell)) continue;
    const at = toScreen({ x: box.x, y: box.y + box.height }, camera, size);
    if (at.x > size.width || at.x + scale < 0 || at.y < 0 || at.y > size.height) continue;
    const rank = ranks?.[cell.index];
    const name = `${placeName(cell.site)}/${cell.head}`;
    const whole = rank ? `${rank}. ${name}` : name;
    const text = [whole, name, rank ? `${rank}.` : `/${cell.head}`].find((each) => guessedWidth(each, "head") < scale + 8);
    if (text) labels.push({ text, x: at.x - PAD, y: at.y + lineHeight("head") + 2, align: "left", style: "head" });
  }
  return labels;
}

interface Sprite {
  x: number;
  y: number;
  width: number;
  height: number;
}

export class LabelSheet {
  readonly canvas: HTMLCanvasElement;
  version = 0;
  private generation = 0;
  private readonly known = new Map<string, Sprite>();
  private readonly context: CanvasRenderingContext2D | null;
  private at = { x: 0, y: 0, high: 0 };

  constructor() {
    this.canvas = document.createElement("canvas");
    Object.assign(this.canvas, { width: WIDE, height: 256 });
    this.context = this.canvas.getContext("2d");
  }

  // Records of nine numbers: where on the screen, where in the sheet, how visible.
  place(labels: readonly Label[], ratio: number): Float32Array {
    for (let again = 0; again < 2; again++) {
      const before = this.generation;
      const flat = new Float32Array(labels.length * 9);
      labels.forEach((label, i) => {
        const sprite = this.sprite(label, ratio);
        const left = label.align === "left" ? 0 : label.align === "center" ? sprite.width / 2 : sprite.width;
        flat.set([Math.round(label.x * ratio - left), Math.round(label.y * ratio - sprite.height), sprite.width, sprite.height, sprite.x, sprite.y, sprite.width, sprite.height, 1], 9 * i);
      });
      // A sheet that was begun anew half way through has lost the first ones.
      if (this.generation === before) return flat;
    }
    return new Float32Array(0);
  }

  // Fonts come late: what was drawn before is drawn again in the right one.
  forget(): void {
    this.known.clear();
    this.at = { x: 0, y: 0, high: 0 };
    this.context?.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.version++;
    this.generation++;
  }

  private sprite({ text, style }: Label, ratio: number): Sprite {
    const key = `${ratio} ${style} ${text}`;
    const known = this.known.get(key);
    if (known) return known;
    const { context, canvas } = this;
    const { size, weight, colour } = STYLES[style];
    const font = `${weight} ${size * ratio}px ${SANS}`;
    if (!context) return { x: 0, y: 0, width: 0, height: 0 };
    context.font = font;
    const width = Math.min(WIDE, Math.ceil(context.measureText(text).width + 2 * PAD * ratio));
    const height = Math.ceil(lineHeight(style) * ratio);
    if (this.at.x + width > WIDE) this.at = { x: 0, y: this.at.y + this.at.high + 1, high: 0 };
    if (this.at.y + height > canvas.height) {
      if (canvas.height < HIGH) this.grow();
      else this.forget();
    }
    const made = { x: this.at.x, y: this.at.y, width, height };
    this.at = { x: this.at.x + width + 1, y: this.at.y, high: Math.max(this.at.high, height) };
    context.fillStyle = "#0c0c0cd0";
    context.beginPath();
    context.roundRect(made.x, made.y, width, height, 3 * ratio);
    context.fill();
    context.font = font;
    context.fillStyle = colour;
    context.textBaseline = "alphabetic";
    context.fillText(text, made.x + PAD * ratio, made.y + height - 0.3 * size * ratio);
    this.known.set(key, made);
    this.version++;
    return made;
  }

  private grow(): void {
    const { canvas, context } = this;
    const held = context?.getImageData(0, 0, canvas.width, canvas.height);
    canvas.height *= 2;
    if (held) context?.putImageData(held, 0, 0);
  }
}
