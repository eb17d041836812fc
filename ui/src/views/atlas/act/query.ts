// Heads by name: patterns of sites, with heads after a slash; "top 10 for 'circle'" and the like are asked of the server,
// and where there is none worked out from the masses of attention. A plus or minus before it adds to the heads that are chosen, or takes away from them.

import type { Source } from "../../../api/source";
import type { Cell } from "../cells";
import { matching, ranked } from "../order";

export interface Picked {
  mode: "set" | "add" | "less";
  ids: string[];
}

// A word's mass of attention by cell, NaN where none is known; null for what is no word of the prompt.
export type MassOf = (word: string) => Float64Array | null;

export async function pick(text: string, cells: readonly Cell[], source: Source, run: string, massOf: MassOf = () => null): Promise<Picked> {
  const mode = text.trim().startsWith("+") ? "add" : text.trim().startsWith("-") ? "less" : "set";
  const query = text.trim().replace(/^[+-]\s*/, "");
  const found = /^(top|bottom)\b|\bfor\b|=/i.test(query) ? await asked(query, cells, source, run, massOf) : named(query, cells);
  if (found.length === 0) throw new Error(`No head is named by “${query}”.`);
  return { mode, ids: found };
}

function named(query: string, cells: readonly Cell[]): string[] {
  const chosen = query === "" ? new Set<number>() : matching(cells, query);
  return cells.filter(({ index }) => chosen.has(index)).map(({ id }) => id);
}

async function asked(query: string, cells: readonly Cell[], source: Source, run: string, massOf: MassOf): Promise<string[]> {
  if (!source.server) {
    const match = /^top\s+(\d+)\s+for\s+(?:'([^']+)'|"([^"]+)"|(\S+))$/i.exec(query);
    const mass = match && massOf(match[2] ?? match[3] ?? match[4]!);
    if (!match || !mass) throw new Error("This needs a running server; patterns such as cross:up.*, and top 10 for a word, work here too.");
    const known = cells.filter(({ index }) => !Number.isNaN(mass[index] ?? NaN));
    return ranked(known, mass).slice(0, Number(match[1])).map(({ id }) => id);
  }
  const answer = await source.server.send<{ heads: { site: string; head: number }[] }>("POST", `api/runs/${encodeURIComponent(run)}/pick`, { query });
  return answer.heads.map(({ site, head }) => `${site}/${head}`);
}

export function combined({ mode, ids }: Picked, before: readonly string[]): Set<string> {
  const found = new Set(mode === "set" ? [] : before);
  for (const id of ids) {
    if (mode === "less") found.delete(id);
    else found.add(id);
  }
  return found;
}
