// What the pointer and the keyboard do on the atlas's cells with each tool.

import type { Grid } from "../../../maps/patches";
import type { Point } from "../../../maps/regions";
import type { Cell } from "../cells";
import type { At, AtlasHandle, AtlasTool } from "../handle";
import { useAtlas } from "../state";
import { useAct, type Did, type Tool } from "./store";
import { PAINTING, Stroke, type Painting } from "./stroke";
import { current, withLayer } from "./work";

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

// Heads of the layer in hand, in the order of the model.
export function chooseHeads(ids: ReadonlySet<string>, cells: readonly Cell[], did: Did): void {
  const { work, change } = useAct.getState();
  change(withLayer(work, { heads: cells.filter((cell) => ids.has(cell.id)).map(({ id }) => id) }), did);
}

function addHeads(some: readonly Cell[], cells: readonly Cell[], did: Did, less = false): void {
  const ids = new Set(current(useAct.getState().work).heads);
  for (const { id } of some) {
    if (less) ids.delete(id);
    else ids.add(id);
  }
  chooseHeads(ids, cells, did);
}

// Some heads as one: away where all of them are chosen, else added.
export function toggleHeads(some: readonly Cell[], cells: readonly Cell[], did: Did): void {
  const ids = new Set(current(useAct.getState().work).heads);
  addHeads(some, cells, did, some.every(({ id }) => ids.has(id)));
}

export function finish(stroke: Stroke, did: Did): void {
  const patches = stroke.end();
  const { work, change } = useAct.getState();
  change(withLayer(work, { patches }), did);
}

export function toolOf(name: Tool, handle: AtlasHandle, marquee: (rect: Rect | null) => void): AtlasTool | null {
  if (name === "move") return null;
  return name === "heads" ? headsTool(handle, marquee) : new CellPainter(handle, name);
}

function headsTool(handle: AtlasHandle, marquee: (rect: Rect | null) => void): AtlasTool {
  let from: At | null = null;
  let dragged = false;
  const rectTo = (at: At): Rect => ({ x: Math.min(from!.x, at.x), y: Math.min(from!.y, at.y), width: Math.abs(at.x - from!.x), height: Math.abs(at.y - from!.y) });
  const one = (cell: Cell, column: boolean, row: boolean) => {
    if (column) toggleHeads(handle.columnOf(cell), handle.cells, "column");
    else if (row) toggleHeads(handle.rowOf(cell), handle.cells, "row");
    else toggleHeads([cell], handle.cells, "heads");
  };
  return {
    cursor: "crosshair",
    down: (at) => {
      from = at;
      dragged = false;
    },
    move: (at) => {
      if (!from) return;
      dragged ||= Math.hypot(at.x - from.x, at.y - from.y) > 5;
      if (dragged) marquee(rectTo(at));
    },
    up: (at) => {
      if (from && dragged) addHeads(handle.cellsIn(rectTo(at)), handle.cells, "rectangle", at.alt);
      else if (from && at.cell) {
        useAtlas.getState().set({ cursor: { cell: at.cell.index, patch: null } });
        one(at.cell, at.shift, at.alt);
      }
      from = null;
      marquee(null);
    },
    cancel: () => {
      from = null;
      marquee(null);
    },
    key: (event, cursor) => {
      const cell = cursor && handle.cells[cursor.cell];
      const known = event.key === " " || event.key === "c" || event.key === "r";
      if (!cell || !known || event.ctrlKey || event.metaKey) return false;
      one(cell, event.key === "c", event.key === "r");
      return true;
    },
  };
}

// Paints on the grid of the cell where the stroke began; beyond its edge it goes on as far as the edge.
class CellPainter implements AtlasTool {
  readonly cursor = "crosshair";
  private stroke: Stroke | null = null;
  private cell: Cell | null = null;
  readonly pen: Pen = { place: "", corners: [] }; // of painting by keyboard

  constructor(
    private readonly handle: AtlasHandle,
    private readonly name: Tool,
  ) {}

  private pointAt({ x, y }: { x: number; y: number }, cell: Cell): Point | null {
    const rect = this.handle.rectOf(cell);
    if (!rect) return null;
    return { x: within((x - rect.x) / rect.width) * cell.grid[1], y: within((y - rect.y) / rect.height) * cell.grid[0] };
  }

  private begin(cell: Cell, point: Point, less: boolean): Stroke {
    const { work, size } = useAct.getState();
    return new Stroke(current(work).patches, cell.grid as Grid, this.name as Painting, size, point, less);
  }

  down(at: At): void {
    const point = at.cell && this.pointAt(at, at.cell);
    if (!at.cell || !point) return;
    this.cell = at.cell;
    useAtlas.getState().set({ cursor: { cell: at.cell.index, patch: at.patch } });
    this.stroke = this.begin(at.cell, point, at.alt);
  }

  move(at: At): void {
    const point = this.stroke && this.cell && this.pointAt(at, this.cell);
    if (point) this.stroke!.to(point);
  }

  up(at: At): void {
    this.move(at);
    if (this.stroke) finish(this.stroke, this.name as Did);
    this.stroke = null;
  }

  cancel(): void {
    this.stroke?.cancel();
    this.stroke = null;
    this.pen.corners = [];
  }

  key(event: KeyboardEvent, cursor: { cell: number; patch: Point | null } | null): boolean {
    const cell = cursor && this.handle.cells[cursor.cell];
    if (!cell || !cursor.patch || event.ctrlKey || event.metaKey) return false;
    return paintByKey(this, event.key, this.name as Painting, cell.grid as Grid, cursor.patch, cell.id);
  }
}

export interface Pen {
  place: string; // where the corners belong to
  corners: Point[];
}

// One key at a patch; true where it was taken. Corners of boxes and lassos are kept in the pen until they are whole.
export function paintByKey(owner: { pen: Pen }, key: string, tool: Painting, grid: Grid, patch: Point, place: string): boolean {
  const { pen } = owner;
  if (pen.place !== place) Object.assign(pen, { place, corners: [] });
  const at = { x: patch.x + 0.5, y: patch.y + 0.5 };
  const { work, size, set } = useAct.getState();
  const stroke = (name: Painting, points: readonly Point[]) => {
    const made = new Stroke(current(work).patches, grid, name, size, points[0]!);
    for (const point of points.slice(1)) made.to(point);
    finish(made, name);
    pen.corners = [];
  };
  if (key === "[" || key === "]") {
    set({ size: within(key === "]" ? size * 1.25 : size / 1.25, 0.01, 0.6) });
    return true;
  }
  if (key === "Delete" || key === "Backspace") {
    stroke("eraser", [at]);
    return true;
  }
  if (key === "Escape" && pen.corners.length > 0) {
    pen.corners = [];
    return true;
  }
  if (key !== "Enter" && key !== " ") return false;
  if (tool === "brush" || tool === "eraser") stroke(tool, [at]);
  else {
    const last = pen.corners.at(-1);
    const closed = tool === "box" ? pen.corners.length === 1 : pen.corners.length >= 3 && last!.x === at.x && last!.y === at.y;
    if (tool === "box" && closed) stroke("box", [pen.corners[0]!, at]);
    else if (closed) stroke("lasso", pen.corners);
    else pen.corners.push(at);
  }
  return true;
}

export const isPainting = (tool: string): tool is Painting => PAINTING.includes(tool);
const within = (value: number, low = 0, high = 1 - 1e-6) => Math.max(low, Math.min(high, value));
