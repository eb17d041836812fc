// A stroke in the making: outside React, so that it keeps up with the pointer. Those who show it hear of each change.

import { blank, box, brush, finer, lasso, onPlane, type Grid, type Patches } from "../../../maps/patches";
import type { Point } from "../../../maps/regions";

export type Painting = "brush" | "eraser" | "box" | "lasso";
export const PAINTING: readonly string[] = ["brush", "eraser", "box", "lasso"] satisfies Painting[];

interface Live {
  patches: Patches; // as they would be if the stroke ended now
  grid: Grid; // what is painted on
  outline: readonly Point[]; // corners of a box or lasso so far, in cells of that grid
  tool: Painting;
}

let live: Live | null = null;
const listeners = new Set<() => void>();

export const liveStroke = (): Live | null => live;

export function onStroke(listen: () => void): () => void {
  listeners.add(listen);
  return () => listeners.delete(listen);
}

function tell(next: Live | null): void {
  live = next;
  for (const listen of listeners) listen();
}

export class Stroke {
  private readonly before: Patches;
  private readonly marks: Patches; // what this stroke has touched, on the grid that is painted on
  private readonly points: Point[];
  private readonly value: 0 | 1;
  private result: Patches;

  // Points are in cells of `grid`; the brush's size in parts of the grid's width; `less` takes away.
  constructor(patches: Patches | null, private readonly grid: Grid, private readonly tool: Painting, private readonly size: number, at: Point, less = false) {
    const plane = patches ? finer(patches.grid, grid) : grid;
    this.before = patches ? onPlane(patches, plane) : blank(plane);
    this.marks = blank(grid);
    this.points = [at];
    this.value = tool === "eraser" || less ? 0 : 1;
    this.result = this.before;
    this.to(at);
  }

  to(at: Point): void {
    const last = this.points.at(-1)!;
    if (this.tool === "brush" || this.tool === "eraser") {
      brush(this.marks, last, at, (this.size * this.grid[1]) / 2, 1);
      this.points[0] = at;
    } else if (this.tool === "box") {
      this.points[1] = at;
      this.marks.cells.fill(0);
      box(this.marks, this.points[0]!, at, 1);
    } else {
      if (Math.hypot(at.x - last.x, at.y - last.y) > 0) this.points.push(at);
      this.marks.cells.fill(0);
      lasso(this.marks, this.points, 1);
    }
    this.show();
  }

  private show(): void {
    const stamp = onPlane(this.marks, this.before.grid);
    const cells = this.before.cells.slice();
    for (let i = 0; i < cells.length; i++) if (stamp.cells[i]) cells[i] = this.value;
    this.result = { grid: this.before.grid, cells };
    tell({ patches: this.result, grid: this.grid, outline: this.tool === "box" || this.tool === "lasso" ? [...this.points] : [], tool: this.tool });
  }

  end(): Patches {
    tell(null);
    return this.result;
  }

  cancel(): void {
    tell(null);
  }
}
