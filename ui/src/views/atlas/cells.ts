// What atlas.json tells of a run, and the cells of the atlas: every kept (site, head), numbered in the order of the data.

export interface AtlasSite {
  index: number; // place in the run's list of sites
  name: string;
  kind: string; // cross, self, joint
  grid: [number, number]; // height, width
  heads: number[]; // kept ones
  stage: string; // down, mid, up; double, single, block
  block: string; // "down.1.0", "mid"
  column: number;
  depth: number; // 0 for the finest grid
  first: number; // number of its first cell
}

export interface Content {
  id: string; // "word-4", "received", "signed-4"
  family: string; // word, received, focus, contribution, signed
  word: number | null;
  label: string;
  unit: string;
  said?: string;
  signed: boolean;
  kinds: string[];
  cells: number;
  available: boolean;
  why: string | null;
  overview: { side: number; native: boolean; slots: number; bytes: number } | null;
  detail: { bytes: number } | null;
}

export interface AtlasInfo {
  run: string;
  version: number;
  layout: "u" | "rows";
  grids: [number, number][]; // finest first
  steps: number[];
  sites: AtlasSite[];
  cells: number;
  words: number[];
  contents: Content[];
}

export interface Cell {
  index: number; // its number in the atlas
  site: string;
  siteIndex: number;
  head: number;
  kind: string;
  grid: readonly [number, number];
  stage: string;
  block: string; // "down.1"
  column: number;
  depth: number;
  id: string; // "cross:up.1.0/3"
}

export interface Column {
  site: string;
  kind: string;
  grid: readonly [number, number];
  block: string;
  stage: string;
  depth: number;
  cells: readonly Cell[]; // heads from top to bottom
}

export const cellId = (site: string, head: number): string => `${site}/${head}`;

// What is written above a column: the place without its kind.
export const placeName = (site: string): string => site.slice(site.indexOf(":") + 1);

// Transformer blocks at one level of a UNet belong together: "down.1.0" and "down.1.1" to "down.1".
const levelOf = (block: string, stage: string): string => (stage === "mid" ? stage : block.split(".").slice(0, 2).join("."));

export function cellsOf({ sites }: Pick<AtlasInfo, "sites">): Cell[] {
  return sites.flatMap(({ index, name, kind, grid, heads, stage, block, column, depth, first }) =>
    heads.map((head, i) => ({ index: first + i, site: name, siteIndex: index, head, kind, grid, stage, block: levelOf(block, stage), column, depth, id: cellId(name, head) })),
  );
}

export function columnsOf(cells: readonly Cell[]): Column[] {
  const columns = new Map<string, Column & { cells: Cell[] }>();
  for (const cell of cells) {
    const known = columns.get(cell.site);
    if (known) known.cells.push(cell);
    else columns.set(cell.site, { site: cell.site, kind: cell.kind, grid: cell.grid, block: cell.block, stage: cell.stage, depth: cell.depth, cells: [cell] });
  }
  return [...columns.values()];
}

export function cellById(cells: readonly Cell[], id: string): Cell | null {
  return cells.find((cell) => cell.id === id) ?? null;
}

export const gridText = ([height, width]: readonly [number, number]): string => `${height}x${width}`;
