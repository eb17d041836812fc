// Paints the atlas: cells and their names. `CardPainter` by WebGL2; `painter2d.ts` without it.

import { table, type ColourName } from "../../maps/colours";
import type { Camera, Size } from "./camera";
import { LabelSheet, type Label } from "./labels";
import type { Placed } from "./layout";
import { matrix, type Angles } from "./planes";
import { CELLS, MAPS, SPRITES, WORDS } from "./shaders";
import { ROW, type Range, type Tiles } from "./tiles";
import { FlatPainter } from "./painter2d";

export interface Arrangement {
  from: Placed;
  to: Placed;
  before: Float32Array; // visibility of each cell, 0 … 1
  after: Float32Array;
  tint: Float32Array; // red, green, blue, alpha of each cell's frame, 0 … 1
}

export interface Plane {
  slot: number;
  z: number;
  light: number; // 0 … 1
  solid: boolean; // cells with their frames, low values too; else only what is high is seen
}

export interface Frame {
  camera: Camera;
  size: Size;
  ratio: number; // pixels of the canvas in a CSS pixel
  angles: Angles | null;
  share: number; // of the way from one arrangement to the next
  slot: number;
  planes: readonly Plane[]; // none: the slot alone, flat
  range: Range | null; // null: each cell's own
  colours: ColourName;
  smooth: boolean;
  margin: number; // of the frames, in the atlas's units
  labels: readonly Label[];
}

export interface AtlasPainter {
  readonly kind: "webgl2" | "2d";
  tiles(tiles: Tiles | null): void;
  fine(tiles: Tiles | null): void;
  arrange(arrangement: Arrangement): void;
  paint(frame: Frame): void;
  forget(): void; // letters, drawn in another font
  dispose(): void;
}

export const GROUND = [12, 12, 12] as const; // --mat

export function atlasPainter(canvas: HTMLCanvasElement): AtlasPainter {
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" });
  if (gl) {
    try {
      return new CardPainter(canvas, gl);
    } catch {
      // A driver that compiles no shader is as good as none; the canvas is bound to it, so another takes its place.
      const other = canvas.cloneNode() as HTMLCanvasElement;
      canvas.replaceWith(other);
      return new FlatPainter(other);
    }
  }
  return new FlatPainter(canvas);
}

const FLOATS = 24; // of an instance
const UNITS = { bytes: 0, fineBytes: 1, ranges: 2, fineRanges: 3, colours: 4, letters: 5 } as const;

class CardPainter implements AtlasPainter {
  readonly kind = "webgl2" as const;
  private readonly cells: Program;
  private readonly sprites: Program;
  private readonly instances: WebGLBuffer;
  private readonly words: WebGLBuffer;
  private readonly textures: Record<keyof typeof UNITS, WebGLTexture>;
  private readonly sheet = new LabelSheet();
  private drawn = { tiles: null as Tiles | null, fine: null as Tiles | null, colours: "", letters: -1 };
  private arrangement: Arrangement | null = null;
  private stale = true;
  private count = 0;
  private flat = new Float32Array(0);

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
  ) {
    this.cells = program(gl, CELLS, MAPS, ["view", "share", "margin", "depth", "pixels", "slot", "range", "about0", "smoothed", "veil", "light", "edges", "bytes", "fineBytes", "ranges", "fineRanges", "colours"]);
    this.sprites = program(gl, SPRITES, WORDS, ["screen", "sheet", "letters"]);
    this.instances = instanced(gl, this.cells, [4, 4, 4, 4, 4, 4]);
    this.words = instanced(gl, this.sprites, [4, 4, 1]);
    this.textures = Object.fromEntries(Object.keys(UNITS).map((name) => [name, gl.createTexture()!])) as Record<keyof typeof UNITS, WebGLTexture>;
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.useProgram(this.cells.program);
    for (const name of ["bytes", "fineBytes", "ranges", "fineRanges", "colours"] as const) gl.uniform1i(this.cells.at[name]!, UNITS[name]);
    gl.useProgram(this.sprites.program);
    gl.uniform1i(this.sprites.at.letters!, UNITS.letters);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.tiles(null);
    this.fine(null);
    gl.clearColor(GROUND[0] / 255, GROUND[1] / 255, GROUND[2] / 255, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  tiles(tiles: Tiles | null): void {
    if (tiles && tiles === this.drawn.tiles) return;
    this.drawn.tiles = tiles;
    this.stale = true;
    this.upload("bytes", "ranges", tiles);
  }

  fine(tiles: Tiles | null): void {
    if (tiles === this.drawn.fine && tiles) return;
    this.drawn.fine = tiles;
    this.stale = true;
    this.upload("fineBytes", "fineRanges", tiles);
  }

  forget(): void {
    this.sheet.forget();
  }

  arrange(arrangement: Arrangement): void {
    this.arrangement = arrangement;
    this.stale = true;
  }

  paint(frame: Frame): void {
    const { gl, canvas, cells } = this;
    const width = Math.max(1, Math.round(frame.size.width * frame.ratio));
    const height = Math.max(1, Math.round(frame.size.height * frame.ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(GROUND[0] / 255, GROUND[1] / 255, GROUND[2] / 255, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (this.stale) this.write();
    const { tiles } = this.drawn;
    if (tiles && this.count > 0) {
      gl.useProgram(cells.program);
      gl.bindVertexArray(cells.array);
      if (this.drawn.colours !== frame.colours) {
        this.bind("colours");
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 256, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, table(frame.colours));
        this.drawn.colours = frame.colours;
      }
      gl.uniformMatrix4fv(cells.at.view!, false, matrix(frame.camera, frame.size, frame.angles));
      gl.uniform1f(cells.at.share!, frame.share);
      gl.uniform1f(cells.at.margin!, frame.margin);
      gl.uniform1f(cells.at.pixels!, width / frame.camera.span);
      gl.uniform2f(cells.at.range!, frame.range?.low ?? 0, frame.range?.high ?? 0);
      gl.uniform1i(cells.at.about0!, tiles.content.signed ? 1 : 0);
      gl.uniform1i(cells.at.smoothed!, frame.smooth ? 1 : 0);
      const planes: readonly Plane[] = frame.planes.length ? frame.planes : [{ slot: frame.slot, z: 0, light: 1, solid: true }];
      for (const { slot, z, light, solid } of planes) {
        gl.uniform1f(cells.at.veil!, solid ? 0 : 1);
        gl.uniform1f(cells.at.edges!, solid ? 1 : 0);
        gl.uniform1i(cells.at.slot!, slot);
        gl.uniform1f(cells.at.depth!, z);
        gl.uniform1f(cells.at.light!, light);
        gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.count);
      }
    }
    this.letter(frame.labels, frame.ratio, width, height);
  }

  private write(): void {
    const { gl, arrangement, drawn: { tiles, fine } } = this;
    this.stale = false;
    this.count = 0;
    if (!arrangement || !tiles) return;
    const { from, to, before, after, tint } = arrangement;
    const order: number[] = [];
    for (let cell = 0; cell < before.length; cell++) {
      if (tiles.place[cell]! >= 0 && (before[cell]! > 0 || after[cell]! > 0)) order.push(cell);
    }
    if (this.flat.length < order.length * FLOATS) this.flat = new Float32Array(order.length * FLOATS);
    const { flat } = this;
    order.forEach((cell, i) => {
      const at = i * FLOATS;
      flat.set(from.boxes.subarray(4 * cell, 4 * cell + 4), at);
      flat.set(to.boxes.subarray(4 * cell, 4 * cell + 4), at + 4);
      flat.set([tiles.first[cell]!, tiles.stride[cell]!, tiles.width[cell]!, tiles.height[cell]!], at + 8);
      const near = fine !== null && fine.place[cell]! >= 0;
      flat.set(near ? [fine.first[cell]!, fine.place[cell]!, fine.width[cell]!, fine.height[cell]!] : [0, 0, 0, 0], at + 12);
      flat.set(tint.subarray(4 * cell, 4 * cell + 4), at + 16);
      flat.set([tiles.place[cell]!, before[cell]!, after[cell]!, 0], at + 20);
    });
    this.count = order.length;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.instances);
    gl.bufferData(gl.ARRAY_BUFFER, flat.subarray(0, this.count * FLOATS), gl.DYNAMIC_DRAW);
  }

  private letter(labels: readonly Label[], ratio: number, width: number, height: number): void {
    const { gl, sprites, sheet } = this;
    if (labels.length === 0) return;
    const flat = sheet.place(labels, ratio);
    gl.useProgram(sprites.program);
    gl.bindVertexArray(sprites.array);
    this.bind("letters", gl.LINEAR);
    if (this.drawn.letters !== sheet.version) {
      gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, sheet.canvas);
      gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
      this.drawn.letters = sheet.version;
    }
    gl.uniform2f(sprites.at.screen!, width, height);
    gl.uniform2f(sprites.at.sheet!, sheet.canvas.width, sheet.canvas.height);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.words);
    gl.bufferData(gl.ARRAY_BUFFER, flat, gl.DYNAMIC_DRAW);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, flat.length / 9);
  }

  private upload(bytes: "bytes" | "fineBytes", ranges: "ranges" | "fineRanges", tiles: Tiles | null): void {
    const { gl } = this;
    this.bind(bytes);
    const held = tiles?.bytes ?? new Uint8Array(ROW);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, ROW, held.length / ROW, 0, gl.RED, gl.UNSIGNED_BYTE, held);
    this.bind(ranges);
    const count = Math.max(1, tiles?.count ?? 1);
    const slots = tiles?.slots.length ?? 1;
    const flat = new Float32Array(2 * count * slots);
    tiles?.low.forEach((low, i) => { flat[2 * i] = low; flat[2 * i + 1] = tiles.high[i]!; });
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RG32F, count, slots, 0, gl.RG, gl.FLOAT, flat);
  }

  private bind(name: keyof typeof UNITS, filter: number = this.gl.NEAREST): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + UNITS[name]);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[name]);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  }

  dispose(): void {
    const { gl } = this;
    for (const texture of Object.values(this.textures)) gl.deleteTexture(texture);
    for (const buffer of [this.instances, this.words]) gl.deleteBuffer(buffer);
    for (const each of [this.cells, this.sprites]) {
      gl.deleteVertexArray(each.array);
      gl.deleteProgram(each.program);
    }
  }
}

interface Program {
  program: WebGLProgram;
  array: WebGLVertexArrayObject;
  at: Record<string, WebGLUniformLocation | null>;
}

function program(gl: WebGL2RenderingContext, vertex: string, fragment: string, names: readonly string[]): Program {
  const made = gl.createProgram()!;
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) ?? "no program");
  return { program: made, array: gl.createVertexArray()!, at: Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(made, name)])) };
}

// A buffer of one record an instance: attributes of so many floats each, one after another.
function instanced(gl: WebGL2RenderingContext, { array }: Program, sizes: readonly number[]): WebGLBuffer {
  const buffer = gl.createBuffer()!;
  const stride = 4 * sizes.reduce((sum, size) => sum + size, 0);
  gl.bindVertexArray(array);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  let offset = 0;
  sizes.forEach((size, i) => {
    gl.enableVertexAttribArray(i);
    gl.vertexAttribPointer(i, size, gl.FLOAT, false, stride, offset);
    gl.vertexAttribDivisor(i, 1);
    offset += 4 * size;
  });
  gl.bindVertexArray(null);
  return buffer;
}
