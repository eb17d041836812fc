// What is known of a search, as rows to be listed and as effects by cell for the atlas. While the first seed is drawn
// there is one number a head; with two and more there are intervals.

import type { Cell } from "../cells";
import type { Effects } from "../state";
import type { HeadRow, Ranking, Search } from "../act/running";

export type Row = Pick<HeadRow, "site" | "head" | "effect" | "low" | "high" | "seeds" | "state"> & { rank: number; id: string };

export function rowsOf(ranking: Ranking | null, effects: ReadonlyMap<string, readonly number[]> = new Map()): Row[] {
  const rows = new Map<string, Row>();
  for (const head of ranking?.heads ?? []) {
    const id = `${head.site}/${head.head}`;
    if (head.effect !== null && Number.isFinite(head.effect)) rows.set(id, { ...head, id });
  }
  // Heads that the newest ranking does not know yet.
  for (const [id, values] of effects) {
    if (rows.has(id)) continue;
    const cut = id.lastIndexOf("/");
    const effect = values.reduce((sum, value) => sum + value, 0) / values.length;
    rows.set(id, { id, site: id.slice(0, cut), head: Number(id.slice(cut + 1)), effect, low: null, high: null, seeds: values.length, state: "open", rank: 0 });
  }
  return [...rows.values()].sort((a, b) => b.effect - a.effect).map((row, i) => ({ ...row, rank: i + 1 }));
}

export function effectsOf(rows: readonly Row[], cells: readonly Cell[], label: string, unit: string): Effects {
  const blank = () => new Float64Array(cells.length).fill(NaN);
  const found: Effects = { word: label, values: blank(), rank: new Int32Array(cells.length), low: blank(), high: blank(), label, unit };
  const places = new Map(cells.map((cell) => [cell.id, cell.index]));
  for (const row of rows) {
    const at = places.get(row.id);
    if (at === undefined) continue;
    found.values[at] = row.effect;
    found.rank[at] = row.rank;
    found.low![at] = row.low ?? NaN;
    found.high![at] = row.high ?? NaN;
  }
  return found;
}

export const searchRows = (search: Search): Row[] => rowsOf(search.ranking, search.effects);
