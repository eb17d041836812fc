// Which cells are shown, and in which order.

import { resolveRanges, resolveSites } from "../../selection";
import { gridText, type Cell } from "./cells";
import type { Group } from "./layout";

export const ORDERS = ["flow", "word", "shown", "cause", "grid", "kind"] as const;
export type Order = (typeof ORDERS)[number];

export interface Filter {
  kinds: readonly string[]; // none: all
  grids: readonly string[]; // "16x16"
  sites: string; // a pattern, with heads after a slash: "cross:up.*/3"
  top: number | null; // only so many, by the order's measure
}

export const NO_FILTER: Filter = { kinds: [], grids: [], sites: "", top: null };

// What an order compares cells by: the greatest comes first; NaN where it is not known, which comes last.
export type Measure = ArrayLike<number> | null;

export function filtered(cells: readonly Cell[], { kinds, grids, sites }: Filter): Cell[] {
  const named = sites.trim() === "" ? null : matching(cells, sites.trim());
  return cells.filter((cell) => (kinds.length === 0 || kinds.includes(cell.kind)) && (grids.length === 0 || grids.includes(gridText(cell.grid))) && (named === null || named.has(cell.index)));
}

// Patterns of sites, several by commas or semicolons, each with heads after a slash where not all of them are meant.
export function matching(cells: readonly Cell[], pattern: string): Set<number> {
  const names = [...new Set(cells.map(({ site }) => site))];
  const found = new Set<number>();
  for (const part of pattern.split(/;|,(?=\s*[a-z*?[])/)) {
    const [glob = "", heads = ""] = part.trim().split(/\/(.*)/s);
    if (!glob) continue;
    // "up.*" is understood too: the place without its kind.
    const chosen = new Set(resolveSites(glob.includes(":") || glob === "all" ? glob : `*:${glob}`, names));
    for (const cell of cells) {
      if (!chosen.has(cell.site)) continue;
      if (heads === "" || (resolveRanges(heads, Math.max(cell.head + 1, 1024)) ?? []).includes(cell.head)) found.add(cell.index);
    }
  }
  return found;
}

// Greatest first; equal ones as the data flows, unknown ones last.
export function ranked(cells: readonly Cell[], measure: Measure): Cell[] {
  if (!measure) return [...cells];
  const value = (cell: Cell) => measure[cell.index] ?? NaN;
  return [...cells].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || a.index - b.index;
    return y - x || a.index - b.index;
  });
}

// The cells of the filter; with `top`, the first of them by the measure, in the order of the data.
export function chosen(cells: readonly Cell[], filter: Filter, measure: Measure): Cell[] {
  const kept = filtered(cells, filter);
  if (filter.top === null || filter.top >= kept.length) return kept;
  const best = new Set(ranked(kept, measure).slice(0, filter.top));
  return kept.filter((cell) => best.has(cell));
}

export function groupsOf(cells: readonly Cell[], order: Order, measure: Measure, title: (cell: Cell, order: "grid" | "kind") => string): Group[] {
  if (order !== "grid" && order !== "kind") return [{ title: null, cells: ranked(cells, measure) }];
  const key = (cell: Cell) => (order === "grid" ? gridText(cell.grid) : cell.kind);
  const groups = new Map<string, Cell[]>();
  for (const cell of cells) {
    const known = groups.get(key(cell));
    if (known) known.push(cell);
    else groups.set(key(cell), [cell]);
  }
  const found = [...groups.values()];
  if (order === "grid") found.sort((a, b) => b[0]!.grid[0] * b[0]!.grid[1] - a[0]!.grid[0] * a[0]!.grid[1]);
  return found.map((group) => ({ title: title(group[0]!, order), cells: group }));
}
