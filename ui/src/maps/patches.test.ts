import { describe, expect, it } from "vitest";
import fixture from "../../../tests/fixtures/atlas_patches.json";
import { aimsOf } from "../views/atlas/act/work";
import { asChoice, blank, box, brush, chosen, cover, finer, inverted, lasso, onPlane, parsePatches, patchesText, picturePlane, type Grid, type PatchChoice, type Patches } from "./patches";

interface Case {
  name: string;
  size: [number, number];
  patches: PatchChoice;
  grids: { grid: [number, number]; cover: number[][] }[];
}

// As the page would have painted them: cells of a plane. Contours are never sent by it.
function painted({ size, patches }: Case): Patches | null {
  const made = blank((patches.grid as Grid | undefined) ?? size);
  const [width] = [made.grid[1]];
  const [kind, rest = ""] = (patches.region ?? "").split(":");
  if (patches.rle) {
    let at = 0;
    patches.rle.counts.forEach((length, i) => {
      if (i % 2) for (let j = at; j < at + length; j++) made.cells[(j % made.grid[0]) * width + Math.floor(j / made.grid[0])] = 1;
      at += length;
    });
    return made;
  }
  if (kind === "box") {
    const [x0, y0, x1, y1] = rest.split(",").map(Number) as [number, number, number, number];
    box(made, { x: x0, y: y0 }, { x: x1, y: y1 }, 1);
    return made;
  }
  if (kind === "pixel" || kind === "pixels") {
    for (const point of rest.split(";")) {
      const [x, y] = point.split(",").map(Number) as [number, number];
      made.cells[y * width + x] = 1;
    }
    return made;
  }
  return null;
}

const cases = (fixture as unknown as { cases: Case[] }).cases.map((each) => ({ ...each, made: painted(each) })).filter((each): each is typeof each & { made: Patches } => each.made !== null);

describe("the page's patches are the engine's", () => {
  it("has cases to compare with", () => expect(cases.length).toBeGreaterThanOrEqual(6));
  it.each(cases)("$name", ({ size, patches, made, grids }) => {
    for (const { grid, cover: wanted } of grids) {
      const found = cover(made, grid);
      expect(found).toHaveLength(grid[0] * grid[1]);
      expect(Math.max(...wanted.flat().map((share, i) => Math.abs(found[i]! - share)))).toBeLessThan(1e-12);
    }
    // What is sent is the same choice again.
    const sent = asChoice(made, { width: size[1], height: size[0] });
    expect(painted({ name: "", size, patches: sent, grids: [] })).toEqual(made);
    if (patches.rle && sent.rle) expect(sent).toEqual(patches);
  });
  const [{ sites }, ...aims] = fixture.aims as unknown as [{ sites: { name: string; total: number }[] }, ...{ heads: [string, number][]; aims: { sites: string; heads: string }[] }[]];
  const counts = new Map(sites.map(({ name, total }) => [name, total]));
  it.each(aims)("aims of heads %#", ({ heads, aims: wanted }) => {
    const order = sites.map(({ name }) => name);
    const inOrder = heads.map(([site, head]) => ({ site, head })).sort((one, two) => order.indexOf(one.site) - order.indexOf(two.site) || one.head - two.head);
    expect(aimsOf(inOrder, counts)).toEqual(wanted);
  });
});

describe("painting", () => {
  const cells = ({ grid: [, width], cells: all }: Patches) => [...all.keys()].filter((i) => all[i]).map((i) => [i % width, Math.floor(i / width)]);
  it("a point takes the cell that it lies in, however small the brush", () => {
    const made = blank([4, 6]);
    brush(made, { x: 5.9, y: 3.9 }, { x: 5.9, y: 3.9 }, 0.01, 1);
    expect(cells(made)).toEqual([[5, 3]]);
  });
  it("a line leaves no gap, and a disc is round", () => {
    const made = blank([32, 32]);
    brush(made, { x: 1.5, y: 1.5 }, { x: 30.5, y: 20.5 }, 0, 1);
    for (let x = 1; x <= 30; x++) expect(cells(made).some(([at]) => at === x)).toBe(true);
    const disc = blank([32, 32]);
    brush(disc, { x: 16, y: 16 }, { x: 16, y: 16 }, 8, 1);
    for (const [x, y] of cells(disc)) expect(Math.hypot(x! + 0.5 - 16, y! + 0.5 - 16)).toBeLessThanOrEqual(8.01);
    expect(chosen(disc) / (Math.PI * 64)).toBeCloseTo(1, 1);
  });
  it("boxes hold both corners in any order and stop at the edge; a lasso holds centres", () => {
    const made = blank([4, 4]);
    box(made, { x: 9, y: 3.2 }, { x: 2.5, y: 2.1 }, 1);
    expect(cells(made)).toEqual([[2, 2], [3, 2], [2, 3], [3, 3]]);
    const looped = blank([8, 8]);
    lasso(looped, [{ x: 1, y: 1 }, { x: 5, y: 1 }, { x: 5, y: 4 }, { x: 1, y: 4 }], 1);
    expect(chosen(looped)).toBe(12);
    lasso(looped, [{ x: 0, y: 0 }, { x: 3, y: 0 }, { x: 3, y: 8 }, { x: 0, y: 8 }], 0);
    expect(cells(looped).every(([x]) => x! >= 3)).toBe(true);
    lasso(looped, [{ x: -9, y: -9 }, { x: 30, y: -9 }, { x: 30, y: 30 }, { x: -9, y: 30 }], 1);
    expect(chosen(looped)).toBe(64);
  });
  it("is inverted, carried to finer planes and back, and written as text", () => {
    const made = blank([4, 4]);
    box(made, { x: 1, y: 0 }, { x: 2, y: 2 }, 1);
    expect(chosen(inverted(made))).toBe(10);
    expect(finer([4, 4], [16, 16])).toEqual([16, 16]);
    expect(finer([6, 4], [4, 8])).toEqual([12, 8]);
    expect(onPlane(onPlane(made, [16, 16]), [4, 4])).toEqual(made);
    expect(patchesText(made)).toBe("4x4.1.2.2.2.2.2");
    expect(parsePatches(patchesText(made))).toEqual(made);
    expect(parsePatches(patchesText(blank([3, 5])))).toEqual(blank([3, 5]));
    for (const odd of ["", "4x4.zzzz", "0x3.1", "4x4.-1", "9999x9999.1"]) expect(parsePatches(odd)).toBeNull();
  });
  it("the picture's plane is its pixels, or whole parts of it", () => {
    expect(picturePlane({ width: 128, height: 96 })).toEqual([96, 128]);
    expect(picturePlane({ width: 512, height: 512 })).toEqual([256, 256]);
    expect(picturePlane({ width: 1024, height: 768 })).toEqual([192, 256]);
    expect(Math.max(...picturePlane({ width: 1021, height: 1021 }))).toBeLessThanOrEqual(256);
  });
});
