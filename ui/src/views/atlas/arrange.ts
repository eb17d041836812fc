// From what is asked for to what lies where: pure, so that it can be tested without a screen.

import { table, type ColourName } from "../../maps/colours";
import type { AtlasInfo, Cell, Content } from "./cells";
import { gridText } from "./cells";
import { flowLayout, rankedLayout, type Placed } from "./layout";
import { chosen, groupsOf, ranked, type Filter, type Measure, type Order } from "./order";
import type { Effects, Tint } from "./state";

export interface Laid {
  placed: Placed;
  cells: Cell[]; // that are in the filter, in the order shown
  chosen: Uint8Array; // by number of the cell
  seen: Float32Array;
  ranks: number[] | null; // by number of the cell, 1 the first; null where there is no ranking
  of: number; // how many this content has
}

const FAINT = 0.14;
const EDGE = [0.19, 0.19, 0.185, 1] as const;

export function laid(info: AtlasInfo, cells: readonly Cell[], content: Content, filter: Filter, order: Order, measure: Measure, aspect: number, stage: number): Laid {
  const there = cells.filter(({ kind }) => content.kinds.includes(kind));
  const kept = chosen(there, filter, measure);
  const flags = new Uint8Array(info.cells);
  const seen = new Float32Array(info.cells);
  for (const { index } of kept) flags[index] = 1;
  const ranking = measure && order !== "grid" && order !== "kind" && order !== "flow" ? ranked(there, measure) : null;
  const ranks = ranking && new Array<number>(info.cells).fill(0);
  ranking?.forEach(({ index }, i) => { if (!Number.isNaN(measure![index])) ranks![index] = i + 1; });
  if (order === "flow") {
    for (const { index } of there) seen[index] = flags[index] ? 1 : FAINT;
    return { placed: flowLayout(there, info.cells, aspect, info.layout === "u"), cells: kept, chosen: flags, seen, ranks: null, of: there.length };
  }
  const groups = groupsOf(kept, order, measure, (cell, by) => (by === "grid" ? gridText(cell.grid).split("x").reverse().join(" × ") : cell.kind));
  for (const { index } of kept) seen[index] = 1;
  return { placed: rankedLayout(groups, info.cells, aspect, stage), cells: groups.flatMap((group) => group.cells), chosen: flags, seen, ranks, of: there.length };
}

// Frames by the word's attention, or by causal rank. They take another table than the maps, so that both can be told apart.
export function frames(count: number, tint: Tint, mass: ArrayLike<number> | null, effects: Effects | null, colours: ColourName): Float32Array {
  const out = new Float32Array(4 * count);
  // A thin edge, so that a dark map is seen to be there.
  for (let cell = 0; cell < count; cell++) out.set(EDGE, 4 * cell);
  const lut = table(frameColours(colours));
  const put = (cell: number, share: number) => {
    const at = 3 * Math.round(Math.max(0, Math.min(1, share)) * 255);
    out.set([lut[at]! / 255, lut[at + 1]! / 255, lut[at + 2]! / 255, 1], 4 * cell);
  };
  if (tint === "mass" && mass) {
    let most = 1e-30;
    for (let cell = 0; cell < count; cell++) if (mass[cell]! > most) most = mass[cell]!;
    for (let cell = 0; cell < count; cell++) if (!Number.isNaN(mass[cell]!)) put(cell, mass[cell]! / most);
  } else if (tint === "cause" && effects) {
    const known = effects.rank.reduce((sum, rank) => sum + (rank > 0 ? 1 : 0), 0);
    for (let cell = 0; cell < count; cell++) {
      const rank = effects.rank[cell]!;
      if (rank > 0) put(cell, known > 1 ? 1 - (rank - 1) / (known - 1) : 1);
    }
  }
  return out;
}

export const frameColours = (colours: ColourName): ColourName => (colours === "viridis" || colours === "cividis" ? "magma" : "viridis");
