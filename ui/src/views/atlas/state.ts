// What the atlas shows, beside the page's one selection: its own part of the address and what is pointed at.

import { create } from "zustand";
import type { Camera } from "./camera";
import type { AtlasHandle } from "./handle";
import { NO_FILTER, ORDERS, type Filter, type Order } from "./order";
import { ANGLES, type Angles } from "./planes";

export const FAMILIES = ["word", "received", "focus", "contribution", "contribution-word", "signed", "signed-word"] as const;
export type Family = (typeof FAMILIES)[number];
export type Tint = "none" | "mass" | "cause";
export type RangeOver = "cell" | "step" | "shared";

export interface Cursor {
  cell: number;
  patch: { x: number; y: number } | null; // column and row of the cell's own grid
}

export interface Effects {
  word: string;
  values: Float64Array; // by cell; NaN where none is known
  rank: Int32Array; // 1 is the greatest; 0 where none is known
  low: Float64Array | null;
  high: Float64Array | null;
  label: string;
  unit: string;
}

export interface Shown extends Filter {
  content: Family;
  order: Order;
  tint: Tint;
  range: RangeOver;
  camera: Camera | null; // null: all of it
  planes: Angles | null;
  cursor: string | null; // "cross:up.1.0/3@5,7"
  layers: string; // what is selected and done there, as `act` writes it
}

export interface AtlasState extends Omit<Shown, "cursor"> {
  cursor: Cursor | null;
  hover: Cursor | null;
  effects: Effects | null;
  rankingsSeen: number; // counts up when there may be new ones
  handle: AtlasHandle | null;
  set: (change: Partial<AtlasState>) => void;
}

export const AT_FIRST: Shown = { ...NO_FILTER, content: "word", order: "flow", tint: "none", range: "cell", camera: null, planes: null, cursor: null, layers: "" };

export const useAtlas = create<AtlasState>()((set) => ({
  ...AT_FIRST,
  cursor: null,
  hover: null,
  effects: null,
  rankingsSeen: 0,
  handle: null,
  set: (change) => set(change),
}));

// The atlas's own part of an address; what is as at first is left out.
export function writeShown(shown: Shown): string {
  const parts: string[] = [];
  const put = (name: string, value: string) => parts.push(`${name}=${encoded(value)}`);
  if (shown.content !== AT_FIRST.content) put("content", shown.content);
  if (shown.order !== AT_FIRST.order) put("order", shown.order);
  if (shown.kinds.length) put("kinds", shown.kinds.join(","));
  if (shown.grids.length) put("grids", shown.grids.join(","));
  if (shown.sites) put("sites", shown.sites);
  if (shown.top !== null) put("top", String(shown.top));
  if (shown.tint !== AT_FIRST.tint) put("tint", shown.tint);
  if (shown.range !== AT_FIRST.range) put("range", shown.range);
  if (shown.camera) put("camera", [shown.camera.x, shown.camera.y, shown.camera.span].map((each) => each.toFixed(3)).join(","));
  if (shown.planes) put("planes", [shown.planes.yaw, shown.planes.pitch].map((each) => each.toFixed(3)).join(","));
  if (shown.cursor) put("cursor", shown.cursor);
  if (shown.layers) put("layers", shown.layers);
  return parts.join("&");
}

// What is not understood is left out: an address typed by hand still opens.
export function readShown(text: string): Shown {
  const asked = new URLSearchParams(text);
  const one = <T extends string>(name: string, of: readonly T[], otherwise: T): T => of.find((each) => each === asked.get(name)) ?? otherwise;
  const list = (name: string) => (asked.get(name) ?? "").split(",").filter(Boolean);
  const numbers = (name: string, count: number): number[] | null => {
    const found = (asked.get(name) ?? "").split(",").map(Number);
    return asked.has(name) && found.length === count && found.every(Number.isFinite) ? found : null;
  };
  const camera = numbers("camera", 3);
  const planes = numbers("planes", 2);
  const top = numbers("top", 1)?.[0];
  return {
    content: one("content", FAMILIES, AT_FIRST.content),
    order: one("order", ORDERS, AT_FIRST.order),
    kinds: list("kinds"),
    grids: list("grids"),
    sites: asked.get("sites") ?? "",
    top: top !== undefined && top >= 1 ? Math.round(top) : null,
    tint: one("tint", ["none", "mass", "cause"], AT_FIRST.tint),
    range: one("range", ["cell", "step", "shared"], AT_FIRST.range),
    camera: camera && camera[2]! > 0 ? { x: camera[0]!, y: camera[1]!, span: camera[2]! } : null,
    planes: planes ? ANGLES.bounded({ yaw: planes[0]!, pitch: planes[1]! }) : null,
    cursor: asked.get("cursor"),
    layers: asked.get("layers") ?? "",
  };
}

const encoded = (text: string) => encodeURIComponent(text).replace(/%20/g, "+").replace(/%(3A|2C|2F|40|3B|2A)/g, (whole) => decodeURIComponent(whole));

// Cell and patch in an address: "cross:up.1.0/3@5,7".
export function cursorText(cursor: Cursor | null, id: (cell: number) => string | null): string | null {
  const name = cursor && id(cursor.cell);
  return name ? name + (cursor.patch ? `@${cursor.patch.x},${cursor.patch.y}` : "") : null;
}

export function cursorOf(text: string | null, cellOf: (id: string) => { index: number; grid: readonly [number, number] } | null): Cursor | null {
  const [id = "", place = ""] = (text ?? "").split("@");
  const cell = cellOf(id);
  if (!cell) return null;
  const [x, y] = place.split(",").map(Number);
  const inside = x !== undefined && y !== undefined && place !== "" && Number.isInteger(x) && Number.isInteger(y) && x >= 0 && y >= 0 && x < cell.grid[1] && y < cell.grid[0];
  return { cell: cell.index, patch: inside ? { x, y } : null };
}
