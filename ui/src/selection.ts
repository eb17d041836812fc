// One selection: these steps, sites, heads, this word, concept or region. The same text form as in the Python API and on
// the command line: `steps=0:10 sites=cross:up.* word=circle`.

export interface Selection {
  steps: string;
  sites: string;
  heads: string;
  word: string | null;
  region: string | null;
  concept: string | null;
}

export const EVERYTHING: Selection = { steps: "all", sites: "all", heads: "all", word: null, region: null, concept: null };

const KEYS = ["steps", "sites", "heads", "word", "region", "concept"] as const;

export function selectionText(selection: Selection): string {
  const pairs = KEYS.flatMap((key) => {
    const value = selection[key];
    return value === null || value === EVERYTHING[key] ? [] : [`${key}=${quoted(value)}`];
  });
  return pairs.join(" ") || "all";
}

// What is not understood is left out: an address typed by hand still opens.
export function parseSelection(text: string): Selection {
  const found: Selection = { ...EVERYTHING };
  for (const [, key, value] of text.matchAll(/(\w+)=("(?:\\.|[^"\\])*"|\S+)/g)) {
    const name = KEYS.find((each) => each === key);
    if (!name || value === undefined) continue;
    const plain = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/gs, "$1") : value;
    if (plain.trim()) found[name] = plain;
  }
  return found;
}

export const quoted = (value: string): string =>
  /^[^\s"\\]+$/.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;

// Indices, ascending, of `all`, `7`, `0:10`, `5:`, or such joined by commas; null for what names none of 0 … count - 1.
export function resolveRanges(text: string, count: number): number[] | null {
  if (text === "all") return Array.from({ length: count }, (_, i) => i);
  const chosen = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^(\d*)(:?)(\d*)$/.exec(part.trim());
    if (!match || part.trim() === "") return null;
    const [, from, colon, to] = match;
    const start = from ? Number(from) : 0;
    const stop = colon ? (to ? Number(to) : count) : start + 1;
    if (start >= count || stop > count) return null;
    for (let i = start; i < stop; i++) chosen.add(i);
  }
  return chosen.size ? [...chosen].sort((a, b) => a - b) : null;
}

// The text form of step indices: neighbours joined to ranges.
export function rangesText(indices: readonly number[], count: number): string {
  const sorted = [...new Set(indices)].sort((a, b) => a - b);
  if (sorted.length === count) return "all";
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let j = i;
    while (j + 1 < sorted.length && sorted[j + 1] === sorted[j]! + 1) j++;
    parts.push(j === i ? `${sorted[i]}` : `${sorted[i]}:${sorted[j]! + 1}`);
    i = j + 1;
  }
  return parts.join(",");
}

// Names that patterns of a shell select (`*`, `?`, `[…]`, joined by commas).
export function resolveSites(text: string, names: readonly string[]): string[] {
  if (text === "all") return [...names];
  const tests = text.split(",").map((pattern) => globTest(pattern.trim()));
  return names.filter((name) => tests.some((test) => test.test(name)));
}

function globTest(pattern: string): RegExp {
  const source = pattern.replace(/\[(!?)([^\]]+)\]|([*?])|[\\^$.|+(){}[\]]/g, (whole, not: string, set: string, wild: string) => {
    if (set) return `[${not ? "^" : ""}${set.replace(/[\\\]^]/g, "\\$&")}]`;
    if (wild) return wild === "*" ? ".*" : ".";
    return `\\${whole}`;
  });
  return new RegExp(`^${source}$`);
}
