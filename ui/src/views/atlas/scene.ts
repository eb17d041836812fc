// The atlas on the stage: camera, frames, and what lies where. What moves with every pointer event stays in here; the store
// hears of it when it rests.

import type { ColourName } from "../../maps/colours";
import { bounded, fitted, flight, panned, scaleOf, toScreen, toWorld, zoomed, type Box, type Camera, type Size } from "./camera";
import type { Cell } from "./cells";
import type { AtlasHandle, AtlasTool, Overlay, Place } from "./handle";
import { labelsOf, LETTERS, type Label } from "./labels";
import { boxOf, cellIndexAt, GAP, neighbour, type Placed } from "./layout";
import { atlasPainter, type AtlasPainter, type Plane } from "./painter";
import { ANGLES, BACK, chosenPlanes, depths, onPlane, projected, type Angles } from "./planes";
import { readingAt } from "./reading";
import { SmallMap } from "./smallmap";
import type { Cursor } from "./state";
import { a } from "./text";
import type { Range, Tiles } from "./tiles";

export interface Showing {
  placed: Placed;
  seen: Float32Array; // visibility of each cell
  chosen: Uint8Array; // 1: in the filter
  tint: Float32Array;
  tinted: boolean;
  tiles: Tiles | null;
  fine: Tiles | null;
  slot: number;
  range: Range | null;
  colours: ColourName;
  smooth: boolean;
  planes: Angles | null;
  ranks: readonly number[] | null;
  cursor: Cursor | null;
}

export interface Heard {
  rests(camera: Camera | null, angles: Angles | null, near: boolean): void; // null: all in view
  hovers(at: Cursor | null): void;
  chooses(at: Cursor | null, step: number | null): void; // step: of the plane that was pressed
}

export interface Parts {
  element: HTMLElement;
  canvas: HTMLCanvasElement;
  overlay: HTMLCanvasElement;
  ring: HTMLElement; // of the cursor
  halo: HTMLElement; // of what is pointed at
  map: HTMLCanvasElement; // the small map of where one is
  window: HTMLElement; // and what of it is seen
}

const MARGIN = { x: 34, top: 12, bottom: 14 };

export class AtlasScene implements AtlasHandle {
  readonly element: HTMLElement;
  readonly painter: AtlasPainter;
  tool: AtlasTool | null = null;
  private showing: Showing | null = null;
  private before: { placed: Placed; seen: Float32Array } | null = null;
  private size: Size = { width: 1, height: 1 };
  private ratio = 1;
  private whole: Camera = { x: 0, y: 0, span: 1 };
  private camera: Camera | null = null;
  private following = true; // the whole is in view, and stays so
  private given = false; // the camera is the address's; what still comes in does not move it
  private angles: Angles | null = null;
  private goal: Camera | null = null;
  private way: { at: (share: number) => Camera; begun: number; takes: number } | null = null;
  private change = { begun: -Infinity, takes: 0 };
  private frame = 0;
  private last = 0;
  private rest = 0;
  private pointed: Cursor | null = null;
  private readonly overlays = new Set<Overlay>();
  private readonly observer: ResizeObserver;
  private readonly map: SmallMap;

  constructor(private readonly parts: Parts, readonly cells: readonly Cell[], private readonly heard: Heard) {
    this.element = parts.element;
    this.painter = atlasPainter(parts.canvas);
    this.map = new SmallMap(parts.map, parts.window, cells);
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.element);
    this.resized();
    // Letters that are drawn before their font is there would stay as they are.
    void document.fonts?.load(LETTERS).then(() => {
      this.painter.forget();
      this.redraw();
    }, () => undefined);
  }

  dispose(): void {
    this.gone = true;
    cancelAnimationFrame(this.frame);
    window.clearTimeout(this.rest);
    this.observer.disconnect();
    this.painter.dispose();
  }

  // Takes up what is to be shown; cells fly to where they now belong.
  show(next: Showing, camera: Camera | null): void {
    const old = this.showing;
    this.showing = next;
    this.painter.tiles(next.tiles);
    this.painter.fine(next.fine);
    const turning = (this.angles === null) !== (next.planes === null);
    this.angles = next.planes;
    const moved = old !== null && (!same(old.placed.boxes, next.placed.boxes) || !same(old.seen, next.seen));
    if (old === null) {
      this.measure();
      this.following = camera === null;
      this.given = camera !== null;
      this.camera = camera ?? this.whole;
      this.before = null;
    } else if (moved) {
      this.before = { placed: old.placed, seen: old.seen };
      this.change = { begun: performance.now(), takes: calm() ? 0 : 420 };
      const { placed } = old;
      this.measure();
      if (!this.given && (this.following || placed.flow !== next.placed.flow || !near(placed.bounds, next.placed.bounds))) {
        this.following = true;
        this.fly(this.whole);
      }
    }
    if (turning) {
      this.measure();
      if (old === null ? camera === null : this.following) {
        this.following = true;
        this.fly(this.whole);
      }
    }
    if (old === null || moved || old.tint !== next.tint || old.placed !== next.placed) {
      this.painter.arrange({ from: this.before?.placed ?? next.placed, to: next.placed, before: this.before?.seen ?? next.seen, after: next.seen, tint: next.tint });
    }
    this.redraw();
  }

  // Where the address or another hand puts the camera; null shows all.
  look(camera: Camera | null): void {
    this.following = camera === null;
    this.given = false;
    this.fly(camera ?? this.whole);
  }

  turn(angles: Angles): void {
    this.angles = ANGLES.bounded(angles);
    this.stirred();
  }

  get turned(): Angles | null {
    return this.angles;
  }

  pan(right: number, down: number): void {
    if (!this.camera) return;
    this.halt();
    this.following = false;
    this.camera = this.inside(panned(this.camera, right, down, this.size));
    this.stirred();
  }

  // Nearer by a factor, about a point of the stage; it glides there.
  zoom(factor: number, at = { x: this.size.width / 2, y: this.size.height / 2 }, glides = true): void {
    if (!this.camera) return;
    const from = this.goal ?? this.camera;
    this.halt();
    this.following = false;
    const to = this.inside(zoomed(from, factor, this.angles ? { x: this.size.width / 2, y: this.size.height / 2 } : at, this.size));
    if (glides && !calm()) this.goal = to;
    else this.camera = to;
    this.stirred();
  }

  fit(cells?: readonly Cell[]): void {
    const boxes = cells?.flatMap((cell) => this.boxOf(cell) ?? []) ?? [];
    if (boxes.length === 0) return this.look(null);
    const x = Math.min(...boxes.map((box) => box.x));
    const y = Math.min(...boxes.map((box) => box.y));
    const box = { x, y, width: Math.max(...boxes.map((each) => each.x + each.width)) - x, height: Math.max(...boxes.map((each) => each.y + each.height)) - y };
    this.look(this.inside(fitted(box, this.size, { x: 60, top: 70, bottom: 50 })));
  }

  goTo(cell: Cell, patch: Place | null = null, { zoom = true }: { zoom?: boolean } = {}): void {
    const box = this.boxOf(cell);
    this.heard.chooses({ cell: cell.index, patch }, null);
    if (!box || !this.camera) return;
    // As large as it is now, where that is large enough already.
    const near = fitted(box, this.size, { x: 0.3 * this.size.width, top: 0.28 * this.size.height, bottom: 0.28 * this.size.height });
    const span = zoom ? Math.min(near.span, this.camera.span) : this.camera.span;
    this.look(this.inside({ ...near, span }));
  }

  // A cell that is not on the screen comes into it.
  reveal(cell: Cell): void {
    const rect = this.rectOf(cell);
    if (!rect || !this.camera || this.angles || this.following) return;
    const { width, height } = this.size;
    const right = Math.max(0, rect.x + rect.width - width) || Math.min(0, rect.x);
    const down = Math.max(0, rect.y + rect.height - height) || Math.min(0, rect.y);
    // With some room around it, for the names.
    const room = (by: number) => by && by + Math.sign(by) * 44;
    if (right || down) this.look(this.inside(panned(this.camera, -room(right), -room(down), this.size)));
  }

  neighbour(cell: number, right: number, down: number): number | null {
    const { showing } = this;
    if (!showing) return null;
    let at: number | null = cell;
    // Over what the filter leaves out.
    for (let i = 0; i < 64 && at !== null; i++) {
      at = neighbour(showing.placed, at, right, down);
      if (at !== null && showing.chosen[at]) return at;
    }
    return null;
  }

  point(at: Cursor | null): void {
    const same = at?.cell === this.pointed?.cell && at?.patch?.x === this.pointed?.patch?.x && at?.patch?.y === this.pointed?.patch?.y;
    if (same) return;
    this.pointed = at;
    this.heard.hovers(at);
    this.redraw();
  }

  // What lies at a point, among planes too.
  pick(x: number, y: number): { cell: Cell; patch: Place; step: number | null } | null {
    const { showing, camera, size, angles } = this;
    if (!showing || !camera) return null;
    const planes = this.planes();
    const at = (z: number) => onPlane({ x, y }, z, camera, size, angles);
    for (const plane of planes.length ? [...planes].reverse() : [null]) {
      const point = plane ? at(plane.z) : toWorld({ x, y }, camera, size);
      const index = point && cellIndexAt(showing.placed, point.x, point.y);
      const cell = index === null ? undefined : this.cells[index];
      if (!cell || !point || !this.shown(cell)) continue;
      const box = boxOf(showing.placed, cell.index)!;
      const patch = within(point.x - box.x, point.y - box.y, box, cell);
      return { cell, patch, step: plane ? (showing.tiles?.slots[plane.slot] ?? null) : null };
    }
    return null;
  }

  // AtlasHandle

  shown(cell: Cell): boolean {
    return this.showing?.chosen[cell.index] === 1;
  }

  visible(): Cell[] {
    return this.cells.filter((cell) => {
      const rect = this.shown(cell) ? this.rectOf(cell) : null;
      return rect && rect.x < this.size.width && rect.y < this.size.height && rect.x + rect.width > 0 && rect.y + rect.height > 0;
    });
  }

  cellAt(x: number, y: number): Cell | null {
    return this.pick(x, y)?.cell ?? null;
  }

  rectOf(cell: Cell): Box | null {
    const box = this.angles ? null : this.boxOf(cell);
    if (!box || !this.camera) return null;
    const scale = scaleOf(this.camera, this.size);
    return { ...toScreen(box, this.camera, this.size), width: box.width * scale, height: box.height * scale };
  }

  patchAt(cell: Cell, x: number, y: number, clamp = false): Place | null {
    const rect = this.rectOf(cell);
    if (!rect) return null;
    const inside = x >= rect.x && y >= rect.y && x < rect.x + rect.width && y < rect.y + rect.height;
    return inside || clamp ? within(x - rect.x, y - rect.y, rect, cell) : null;
  }

  cellsIn(rect: Box): Cell[] {
    return this.cells.filter((cell) => {
      const own = this.shown(cell) ? this.rectOf(cell) : null;
      if (!own) return false;
      const [x, y] = [own.x + own.width / 2, own.y + own.height / 2];
      return x >= rect.x && y >= rect.y && x < rect.x + rect.width && y < rect.y + rect.height;
    });
  }

  valueAt(cell: Cell, patch: Place): number | null {
    return this.showing && (readingAt({ ...this.showing, cells: this.cells }, { cell: cell.index, patch })?.value ?? null);
  }

  columnOf(cell: Cell): Cell[] {
    return this.cells.filter(({ site }) => site === cell.site);
  }

  rowOf(cell: Cell): Cell[] {
    return this.cells.filter(({ head, kind }) => head === cell.head && kind === cell.kind);
  }

  private gone = false; // nothing is drawn after it

  addOverlay(draw: Overlay): () => void {
    this.overlays.add(draw);
    this.redraw();
    return () => {
      this.overlays.delete(draw);
      this.redraw();
    };
  }

  setTool(tool: AtlasTool | null): void {
    this.tool?.cancel();
    this.tool = tool;
    this.element.style.cursor = tool?.cursor ?? "";
    this.redraw();
  }

  redraw(): void {
    if (this.gone) return;
    if (this.frame) return;
    delete this.element.dataset.still;
    this.frame = requestAnimationFrame(this.tick);
  }

  // What stands where a cell belongs, before it has flown there.
  private boxOf(cell: Cell): Box | null {
    return this.showing && boxOf(this.showing.placed, cell.index);
  }

  private readonly tick = (time: number): void => {
    this.frame = 0;
    const { showing } = this;
    if (!showing || !this.camera) return;
    const passed = Math.min(64, Math.max(1, time - this.last));
    this.last = time;
    let going = false;
    if (this.way) {
      const share = this.way.takes > 0 ? Math.min(1, (time - this.way.begun) / this.way.takes) : 1;
      this.camera = this.way.at(eased(Math.max(0, share)));
      if (share >= 1) {
        this.way = null;
        this.stirred();
      } else going = true;
    } else if (this.goal) {
      const near = 1 - Math.exp(-passed / 55);
      const mix = (a: number, b: number) => a + (b - a) * near;
      const { x, y, span } = this.camera;
      this.camera = { x: mix(x, this.goal.x), y: mix(y, this.goal.y), span: mix(span, this.goal.span) };
      if (Math.abs(this.camera.span / this.goal.span - 1) < 1e-3) {
        this.camera = this.goal;
        this.goal = null;
        this.stirred();
      } else going = true;
    }
    const share = this.change.takes > 0 ? Math.min(1, (time - this.change.begun) / this.change.takes) : 1;
    if (share < 1) going = true;
    else if (this.before) {
      this.before = null;
      this.painter.arrange({ from: showing.placed, to: showing.placed, before: showing.seen, after: showing.seen, tint: showing.tint });
    }
    this.paint(showing, eased(Math.max(0, share)));
    if (going) this.redraw();
    else this.element.dataset.still = "";
  };

  private paint(showing: Showing, share: number): void {
    const { size, ratio, parts } = this;
    const camera = this.camera!;
    const scale = scaleOf(camera, size);
    const flat = this.angles === null;
    this.painter.paint({
      camera, size, ratio,
      angles: this.angles,
      share,
      slot: showing.slot,
      planes: this.planes(),
      range: showing.range,
      colours: showing.colours,
      smooth: showing.smooth,
      margin: showing.tinted ? Math.min(0.45 * GAP, Math.max(0.035, 3 / scale)) : Math.min(0.4 * GAP, 1 / scale),
      labels: !flat ? this.planeNames(showing, camera) : share >= 1 ? labelsOf(showing.placed, this.cells, (cell) => this.shown(cell), camera, size, showing.ranks) : [],
    });
    this.ring(parts.ring, showing.cursor);
    this.ring(parts.halo, this.pointed);
    this.drawOverlays();
    this.map.draw(showing, camera, size, ratio, flat);
  }

  // The first, the last and the chosen step, at the foot of their planes.
  private planeNames({ placed: { bounds }, tiles, slot }: Showing, camera: Camera): Label[] {
    const planes = this.planes();
    return planes.flatMap((plane, i) => {
      const step = tiles!.slots[plane.slot];
      if (step === null || step === undefined || (i > 0 && i < planes.length - 1 && plane.slot !== slot)) return [];
      const at = projected({ x: bounds.x, y: bounds.y + bounds.height }, plane.z, camera, this.size, this.angles);
      return [{ text: a.step(step), x: at.x, y: at.y + 18, align: "center" as const, style: plane.slot === slot ? ("block" as const) : ("head" as const) }];
    });
  }

  private drawOverlays(): void {
    const { overlay } = this.parts;
    const wanted = this.overlays.size > 0;
    overlay.hidden = !wanted;
    if (!wanted) return;
    const { size: { width, height }, ratio } = this;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (overlay.width !== w || overlay.height !== h) Object.assign(overlay, { width: w, height: h });
    const context = overlay.getContext("2d");
    if (!context) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    for (const draw of this.overlays) {
      context.save();
      draw({ context, handle: this, width, height, ratio });
      context.restore();
    }
  }

  private ring(element: HTMLElement, cursor: Cursor | null): void {
    const box = this.onScreen(cursor);
    element.hidden = box === null;
    if (!box) return;
    element.style.transform = `translate(${box.x.toFixed(1)}px, ${box.y.toFixed(1)}px)`;
    element.style.width = `${box.width.toFixed(1)}px`;
    element.style.height = `${box.height.toFixed(1)}px`;
  }

  // Of a cell, or of one of its patches where that is large enough to see; among planes what encloses it.
  private onScreen(cursor: Cursor | null): Box | null {
    const cell = cursor && this.cells[cursor.cell];
    if (!cell || !this.shown(cell) || !this.camera) return null;
    const box = this.boxOf(cell);
    if (!box) return null;
    if (this.angles) {
      const planes = this.planes();
      const z = planes.find(({ slot }) => slot === this.showing!.slot)?.z ?? planes.at(-1)?.z ?? 0;
      const corners = [0, 1, 2, 3].map((i) => projected({ x: box.x + (i & 1) * box.width, y: box.y + (i >> 1) * box.height }, z, this.camera!, this.size, this.angles));
      const [x, y] = [Math.min(...corners.map((each) => each.x)), Math.min(...corners.map((each) => each.y))];
      return { x, y, width: Math.max(...corners.map((each) => each.x)) - x, height: Math.max(...corners.map((each) => each.y)) - y };
    }
    const rect = this.rectOf(cell)!;
    const { patch } = cursor;
    const [width, height] = [rect.width / cell.grid[1], rect.height / cell.grid[0]];
    return patch && width >= 3 ? { x: rect.x + patch.x * width, y: rect.y + patch.y * height, width, height } : rect;
  }

  private planes(): Plane[] {
    const { showing } = this;
    if (!this.angles || !showing?.tiles || this.painter.kind === "2d") return [];
    const slots = chosenPlanes(showing.tiles.slots, this.cells.length > 400 ? 7 : 13);
    const single = showing.tiles.slots[showing.slot] !== null;
    if (single && !slots.includes(showing.slot)) slots.push(showing.slot);
    slots.sort((a, b) => a - b);
    const z = depths(slots.length, showing.placed.bounds);
    // The step that is chosen is a solid sheet; of the others what is high glows through.
    return slots.map((slot, i) => ({ slot, z: z[i]!, light: !single ? 0.8 : slot === showing.slot ? 1 : 0.45, solid: single && slot === showing.slot }));
  }

  private resized(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width < 2 || height < 2) return;
    this.size = { width, height };
    this.ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    if (!this.showing) return;
    this.measure();
    if (this.following) {
      this.halt();
      this.camera = this.whole;
    }
    this.redraw();
  }

  private measure(): void {
    if (!this.showing) return;
    this.whole = fitted(this.showing.placed.bounds, this.size, this.size.width < 520 ? { ...MARGIN, x: 22 } : MARGIN);
    if (this.angles) this.whole = { ...this.whole, span: BACK * this.whole.span };
  }

  private inside(camera: Camera): Camera {
    return bounded(camera, this.showing!.placed.bounds, this.whole);
  }

  private fly(to: Camera): void {
    this.goal = null;
    if (!this.camera || calm() || !this.showing) {
      this.camera = to;
      this.way = null;
      return this.stirred();
    }
    const { at, length } = flight(this.camera, to);
    this.way = { at, begun: performance.now(), takes: Math.min(900, 260 + 260 * length) };
    this.redraw();
  }

  private halt(): void {
    this.given = false;
    this.way = null;
    this.goal = null;
  }

  // Painted at the next frame; told when it rests.
  private stirred(): void {
    this.redraw();
    this.tell();
  }

  private tell(): void {
    window.clearTimeout(this.rest);
    this.rest = window.setTimeout(() => {
      if (!this.camera || this.way || this.goal) return;
      // A hand that lies still has not let go: what is told takes time, and the next move would wait for it.
      if (this.element.dataset.moving !== undefined) return this.tell();
      this.heard.rests(this.following ? null : this.camera, this.angles, this.near());
    }, 180);
  }

  // Whether cells are so large that reduced maps show their patches.
  private near(): boolean {
    const tiles = this.showing?.tiles;
    if (!tiles || !this.camera || tiles.content.overview?.native !== false || this.angles) return false;
    return scaleOf(this.camera, this.size) > 1.2 * (tiles.content.overview.side || 16);
  }

  // Pressing on the small map.
  fromMap(x: number, y: number): void {
    const { showing } = this;
    if (!showing || !this.camera) return;
    this.halt();
    this.following = false;
    this.camera = this.inside({ ...this.camera, ...this.map.at(x, y, showing.placed.bounds) });
    this.stirred();
  }
}

const calm = (): boolean => window.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
const eased = (share: number): number => (share < 0.5 ? 4 * share ** 3 : 1 - (2 - 2 * share) ** 3 / 2);
const same = (a: Float32Array, b: Float32Array): boolean => a === b || (a.length === b.length && a.every((value, i) => value === b[i]));
const near = (a: Box, b: Box): boolean => Math.abs(a.width - b.width) < 1e-3 && Math.abs(a.height - b.height) < 1e-3;

// The patch at a distance from the upper left of a cell, of whatever size it is; what lies outside counts to the edge.
function within(x: number, y: number, size: { width: number; height: number }, { grid: [rows, columns] }: Cell): Place {
  const inside = (share: number, count: number) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  return { x: inside(x / size.width, columns), y: inside(y / size.height, rows) };
}
