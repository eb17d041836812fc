// What others may ask of the atlas on the screen. Coordinates are CSS pixels of the stage, from its top left.

import type { Box } from "./camera";
import type { Cell } from "./cells";
import type { Cursor } from "./state";

export interface Place {
  x: number; // column
  y: number; // row of the cell's own grid
}

export interface At {
  x: number;
  y: number;
  cell: Cell | null;
  patch: Place | null;
  shift: boolean;
  alt: boolean;
  meta: boolean;
  pressure: number;
}

// Takes the primary button, or one finger, instead of panning.
export interface AtlasTool {
  cursor?: string;
  down(at: At): void;
  move(at: At): void;
  up(at: At): void;
  cancel(): void;
  key?(event: KeyboardEvent, cursor: Cursor | null): boolean; // true: taken
}

export interface OverlayFrame {
  context: CanvasRenderingContext2D; // in CSS pixels, cleared
  handle: AtlasHandle;
  width: number;
  height: number;
  ratio: number;
}

export type Overlay = (frame: OverlayFrame) => void;

export interface AtlasHandle {
  readonly cells: readonly Cell[];
  readonly element: HTMLElement;
  shown(cell: Cell): boolean; // not filtered away
  visible(): Cell[]; // shown, and on the screen at least in part
  cellAt(x: number, y: number): Cell | null;
  rectOf(cell: Cell): Box | null; // of the map; null among planes, and where the cell has no place
  patchAt(cell: Cell, x: number, y: number, clamp?: boolean): Place | null;
  cellsIn(rect: Box): Cell[]; // whose middle lies in it
  valueAt(cell: Cell, patch: Place): number | null; // of what is shown
  columnOf(cell: Cell): Cell[]; // same site
  rowOf(cell: Cell): Cell[]; // same number of head, same kind
  goTo(cell: Cell, patch?: Place | null, options?: { zoom?: boolean }): void;
  fit(cells?: readonly Cell[]): void;
  redraw(): void;
  addOverlay(draw: Overlay): () => void;
  setTool(tool: AtlasTool | null): void;
}
