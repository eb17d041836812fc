import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../api/safetensors";
import { readAddress, writeAddress } from "../../state/address";
import { EVERYTHING } from "../../selection";
import { frames, laid } from "./arrange";
import { bounded, fitted, flight, panned, toScreen, toWorld, zoomed, type Camera } from "./camera";
import { cellById, cellsOf, columnsOf, type AtlasInfo, type Content } from "./cells";
import { atlasWord, contentOf, effectsOf } from "./data";
import { labelsOf } from "./labels";
import { boxOf, cellIndexAt, flowLayout, neighbour, rankedLayout } from "./layout";
import { chosen, filtered, groupsOf, matching, NO_FILTER, ranked } from "./order";
import { chosenPlanes, depths, matrix, onPlane, projected } from "./planes";
import { AT_FIRST, cursorOf, cursorText, readShown, writeShown, type Shown } from "./state";
import { cellMass, ROW, sharedRange, slotOf, tilesOf, valueAt } from "./tiles";

const site = (index: number, name: string, grid: [number, number], heads: number[], depth: number, first: number) => {
  const [kind, place] = name.split(":") as [string, string];
  return { index, name, kind, grid, heads, stage: place.split(".")[0]!, block: place.split(".").slice(0, 2).join("."), column: index, depth, first };
};
// A UNet of three levels, 2 heads at the finest grid and 3 at the others.
const SITES = [
  site(0, "cross:down.0.0", [4, 4], [0, 1], 0, 0),
  site(2, "cross:down.1.0", [2, 2], [0, 1, 2], 1, 2),
  site(3, "self:down.1.0", [2, 2], [0, 2], 1, 5),
  site(5, "cross:mid", [1, 1], [0, 1, 2], 2, 7),
  site(7, "cross:up.0.0", [2, 2], [0, 1, 2], 1, 10),
  site(9, "cross:up.1.0", [4, 4], [0, 1], 0, 13),
];
const content = (id: string, more: Partial<Content> = {}): Content => ({
  id, family: id.split("-")[0]!, word: /-\d+$/.test(id) ? Number(id.split("-")[1]) : null, label: id, unit: "probability", signed: false, kinds: ["cross"], cells: 13, available: true, why: null, overview: { side: 16, native: true, slots: 3, bytes: 1 }, detail: null, ...more,
});
const INFO: AtlasInfo = { run: "r", version: 1, layout: "u", grids: [[4, 4], [2, 2], [1, 1]], steps: [0, 2], sites: SITES, cells: 15, words: [1], contents: [content("word-1"), content("received", { kinds: ["self"] }), content("signed-1", { signed: true, available: false, why: "no projections" })] };
const CELLS = cellsOf(INFO);

describe("cells", () => {
  it("are numbered as the data flows, and known by name", () => {
    expect(CELLS.map(({ index }) => index)).toEqual([...Array(15).keys()]);
    expect(CELLS[6]!.id).toBe("self:down.1.0/2");
    expect(cellById(CELLS, "cross:up.1.0/1")?.index).toBe(14);
    expect(cellById(CELLS, "cross:up.1.0/9")).toBeNull();
    expect(columnsOf(CELLS).map(({ cells }) => cells.length)).toEqual([2, 3, 2, 3, 3, 2]);
  });
});

describe("the camera", () => {
  const size = { width: 800, height: 400 };
  const camera: Camera = { x: 5, y: 2, span: 16 };
  it("goes to the screen and back", () => {
    expect(toScreen({ x: 5, y: 2 }, camera, size)).toEqual({ x: 400, y: 200 });
    const there = toScreen({ x: 7, y: 1 }, camera, size);
    expect(toWorld(there, camera, size)).toEqual({ x: 7, y: 1 });
  });
  it("keeps what is under the hand", () => {
    const at = { x: 650, y: 90 };
    const before = toWorld(at, camera, size);
    const nearer = zoomed(camera, 3, at, size);
    expect(nearer.span).toBeCloseTo(16 / 3);
    expect(toWorld(at, nearer, size).x).toBeCloseTo(before.x);
    expect(toWorld(at, nearer, size).y).toBeCloseTo(before.y);
    const dragged = panned(camera, 30, -20, size);
    expect(toWorld({ x: at.x + 30, y: at.y - 20 }, dragged, size).x).toBeCloseTo(before.x);
  });
  it("fits a box between its margins", () => {
    const box = { x: 1, y: 2, width: 4, height: 8 };
    const fit = fitted(box, size, { x: 20, top: 50, bottom: 10 });
    expect(toScreen({ x: 3, y: 2 }, fit, size).y).toBeCloseTo(50);
    expect(toScreen({ x: 3, y: 10 }, fit, size).y).toBeCloseTo(390);
    expect(toScreen({ x: 3, y: 6 }, fit, size).x).toBeCloseTo(400);
    expect(bounded({ x: -9, y: 99, span: 1e9 }, box, fit)).toEqual({ x: 1, y: 10, span: 3 * fit.span });
  });
  it("flies from end to end, and outward on a long way", () => {
    const to: Camera = { x: 50, y: -10, span: 4 };
    const { at, length } = flight(camera, to);
    expect(at(0)).toEqual(camera);
    expect(at(1)).toEqual(to);
    expect(length).toBeGreaterThan(0);
    expect(at(0.999).x).toBeCloseTo(50, 0);
    expect(at(0.4).span).toBeGreaterThan(16);
    const straight = flight(camera, { ...camera, span: 4 });
    expect(straight.at(0.5).span).toBeCloseTo(8);
    expect(straight.at(0.5).x).toBe(5);
  });
});

describe("the flow", () => {
  const cross = CELLS.filter(({ kind }) => kind === "cross");
  const placed = flowLayout(cross, 15, 1, true);
  it("is a U: left to right, deeper with each halving", () => {
    const tops = ["cross:down.0.0/0", "cross:down.1.0/0", "cross:mid/0", "cross:up.0.0/0", "cross:up.1.0/0"].map((id) => boxOf(placed, cellById(CELLS, id)!.index)!);
    expect(tops.map(({ x }) => x)).toEqual([...tops.map(({ x }) => x)].sort((a, b) => a - b));
    expect(tops[0]!.y).toBe(0);
    expect(tops[2]!.y).toBeCloseTo(2 * tops[1]!.y);
    expect(tops[1]!.y).toBeCloseTo(tops[3]!.y);
    expect(tops[4]!.y).toBe(0);
  });
  it("stacks heads and leaves out what is not there", () => {
    const [one, two] = [boxOf(placed, 2)!, boxOf(placed, 3)!];
    expect(two.x).toBe(one.x);
    expect(two.y).toBeGreaterThan(one.y + one.height);
    expect(boxOf(placed, 5)).toBeNull();
  });
  it("no two cells touch, and all lie within the bounds", () => {
    const boxes = cross.map(({ index }) => boxOf(placed, index)!);
    boxes.forEach((one, i) => boxes.slice(i + 1).forEach((other) => {
      expect(one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y).toBe(true);
    }));
    const { bounds } = placed;
    for (const box of boxes) expect(box.x >= bounds.x && box.y >= bounds.y && box.x + box.width <= bounds.x + bounds.width + 1e-5 && box.y + box.height <= bounds.y + bounds.height + 1e-5).toBe(true);
  });
  it("finds the cell at a point, and nothing between cells", () => {
    const box = boxOf(placed, 3)!;
    expect(cellIndexAt(placed, box.x + 0.5, box.y + 0.5)).toBe(3);
    expect(cellIndexAt(placed, box.x - 0.05, box.y + 0.5)).toBeNull();
  });
  it("is walked by arrows", () => {
    expect(neighbour(placed, 2, 0, 1)).toBe(3);
    expect(neighbour(placed, 0, 0, -1)).toBeNull();
    expect(neighbour(placed, 13, 0, 1)).toBe(14);
    const right = neighbour(placed, 2, 1, 0);
    expect(right === null || CELLS[right]!.site !== "cross:down.1.0").toBe(true);
  });
  it("a transformer is a plain row", () => {
    const row = flowLayout(cross, 15, 1, false);
    expect(new Set(cross.filter(({ head }) => head === 0).map(({ index }) => boxOf(row, index)!.y))).toEqual(new Set([0]));
  });
});

describe("order and filter", () => {
  const measure = Float64Array.from({ length: 15 }, (_, i) => (i === 4 ? NaN : [3, 1, 2][i % 3]!));
  it("ranks the greatest first, equal ones as the data flows, unknown ones last", () => {
    const found = ranked(CELLS, measure).map(({ index }) => index);
    expect(found.slice(0, 5)).toEqual([0, 3, 6, 9, 12]);
    expect(found.at(-1)).toBe(4);
    expect(ranked(CELLS, null)).toEqual(CELLS);
  });
  it("chooses by kind, grid, pattern and number", () => {
    expect(filtered(CELLS, { ...NO_FILTER, kinds: ["self"] }).map(({ index }) => index)).toEqual([5, 6]);
    expect(filtered(CELLS, { ...NO_FILTER, grids: ["1x1"] })).toHaveLength(3);
    expect(filtered(CELLS, { ...NO_FILTER, sites: "up.*" })).toHaveLength(5);
    expect([...matching(CELLS, "cross:up.*/1:3, cross:mid/0")].sort((a, b) => a - b)).toEqual([7, 11, 12, 14]);
    expect([...matching(CELLS, "all/2")].sort((a, b) => a - b)).toEqual([4, 6, 9, 12]);
    expect(matching(CELLS, "nothing*").size).toBe(0);
    expect(chosen(CELLS, { ...NO_FILTER, top: 2 }, measure).map(({ index }) => index)).toEqual([0, 3]);
  });
  it("groups by grid, the finest first", () => {
    const groups = groupsOf(CELLS, "grid", null, (cell) => cell.grid.join("x"));
    expect(groups.map(({ title, cells }) => [title, cells.length])).toEqual([["4x4", 4], ["2x2", 8], ["1x1", 3]]);
  });
  it("breaks ranked cells into lines as wide as the stage", () => {
    const wide = rankedLayout([{ title: null, cells: CELLS }], 15, 1, 4);
    const tall = rankedLayout([{ title: null, cells: CELLS }], 15, 1, 0.5);
    expect(wide.bounds.width / wide.bounds.height).toBeGreaterThan(tall.bounds.width / tall.bounds.height);
    expect(boxOf(wide, 1)!.x).toBeGreaterThan(boxOf(wide, 0)!.x);
    expect(boxOf(wide, 1)!.y).toBe(0);
  });
  it("flow keeps what the filter leaves out faintly in its place; ranked cells leave", () => {
    const flow = laid(INFO, CELLS, INFO.contents[0]!, { ...NO_FILTER, grids: ["4x4"] }, "flow", null, 1, 1.6);
    expect(flow.cells).toHaveLength(4);
    expect(flow.of).toBe(13);
    expect(flow.seen[2]).toBeGreaterThan(0);
    expect(flow.seen[2]).toBeLessThan(0.3);
    expect(flow.seen[5]).toBe(0);
    const best = laid(INFO, CELLS, INFO.contents[0]!, { ...NO_FILTER, top: 3 }, "word", measure, 1, 1.6);
    expect(best.cells.map(({ index }) => index)).toEqual([0, 3, 9]);
    expect(best.seen[2]).toBe(0);
    expect(best.ranks![3]).toBe(2);
    expect(best.ranks![4]).toBe(0);
  });
});

// A file as the server writes it, of two sites: bytes between least and greatest of each map.
function file(): ArrayBuffer {
  const entries: [string, string, number[], Uint8Array][] = [
    ["maps/0", "U8", [3, 2, 2, 2], Uint8Array.from({ length: 24 }, (_, i) => (i * 11) % 256)],
    ["maps/3", "U8", [3, 2, 1, 1], Uint8Array.from([0, 0, 0, 255, 128, 0])],
    ["min", "F32", [3, 4], new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i).buffer)],
    ["max", "F32", [3, 4], new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i + 2).buffer)],
    ["mean", "F32", [3, 4], new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i + 1).buffer)],
  ];
  let at = 0;
  const header: Record<string, unknown> = { __metadata__: { slots: '["mean", 0, 2]', unit: "probability", sites: JSON.stringify([{ index: 0, name: "cross:down.0.0", heads: [0, 1], grid: [4, 4], stored: [2, 2], first: 0 }, { index: 3, name: "self:down.1.0", heads: [0, 2], grid: [2, 2], stored: [1, 1], first: 2 }]) } };
  for (const [name, dtype, shape, bytes] of entries) header[name] = { dtype, shape, data_offsets: [at, (at += bytes.length)] };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + at);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  let to = 8 + text.length;
  for (const [, , , bytes] of entries) {
    out.set(bytes, to);
    to += bytes.length;
  }
  return out.buffer;
}

describe("tiles", () => {
  const firsts = new Map(SITES.map(({ index, first, heads }) => [index, { first, heads }]));
  const tiles = tilesOf(readSafetensors(file()), content("word-1", { kinds: ["cross", "self"] }), firsts, 15);
  it("know where each map lies", () => {
    expect(tiles.bytes.length).toBe(ROW);
    expect([...tiles.place.slice(0, 7)]).toEqual([0, 1, -1, -1, -1, 2, 3]);
    expect(tiles.slots).toEqual([null, 0, 2]);
    expect([slotOf(tiles, null), slotOf(tiles, 2), slotOf(tiles, 9)]).toEqual([0, 2, 2]);
  });
  it("tell values between the ends of a map's own range, and how exact they are", () => {
    // Slot 1, head 1 of site 0: its byte 12 + 2 * 2 … of the range [5, 7].
    const byte = ((1 * 2 + 1) * 4 + 3) * 11 % 256;
    expect(valueAt(tiles, 1, 1, 1, 1)!.value).toBeCloseTo(5 + (2 * byte) / 255);
    expect(valueAt(tiles, 1, 1, 1, 1)!.error).toBeCloseTo(2 / 510);
    expect(valueAt(tiles, 1, 6, 0, 0)!.value).toBeCloseTo(9);
    expect(valueAt(tiles, 0, 2, 0, 0)).toBeNull();
    expect(valueAt(tiles, 0, 0, 2, 0)).toBeNull();
    expect(cellMass(tiles, 2, 5)).toBe(11);
  });
  it("share a range, about zero where there are signs", () => {
    expect(sharedRange(tiles, [0, 1], [0])).toEqual({ low: 0, high: 3 });
    expect(sharedRange({ ...tiles, content: content("signed-1", { signed: true }) }, [0, 5], [0])).toEqual({ low: -4, high: 4 });
  });
});

describe("planes", () => {
  const size = { width: 900, height: 600 };
  const camera: Camera = { x: 4, y: 3, span: 12 };
  it("flat, agree with the camera", () => {
    const there = projected({ x: 5, y: 1 }, 0, camera, size, null);
    const plain = toScreen({ x: 5, y: 1 }, camera, size);
    expect(there.x).toBeCloseTo(plain.x, 3);
    expect(there.y).toBeCloseTo(plain.y, 3);
    expect(matrix(camera, size, null)[15]).toBe(1);
  });
  it("turned, are hit where they are seen", () => {
    const angles = { yaw: 0.7, pitch: -0.4 };
    for (const z of [-3, 0, 2]) {
      const seen = projected({ x: 6, y: 2 }, z, camera, size, angles);
      const hit = onPlane(seen, z, camera, size, angles)!;
      expect(hit.x).toBeCloseTo(6, 3);
      expect(hit.y).toBeCloseTo(2, 3);
    }
    const [front, back] = [projected({ x: 9, y: 3 }, 3, camera, size, { yaw: 0, pitch: 0 }), projected({ x: 9, y: 3 }, -3, camera, size, { yaw: 0, pitch: 0 })];
    expect(front.x).toBeGreaterThan(back.x);
  });
  it("stand in order, at most so many, the last among them", () => {
    expect(chosenPlanes([null, 0, 1, 2], 13)).toEqual([1, 2, 3]);
    const many = chosenPlanes([null, ...Array(50).keys()], 24);
    expect(many).toHaveLength(24);
    expect(many.at(-1)).toBe(50);
    const z = depths(3, { x: 0, y: 0, width: 10, height: 5 });
    expect(z[0]).toBeLessThan(z[2]!);
    expect(z[1]).toBe(0);
  });
});

describe("contents and words", () => {
  const word = (index: number, label: string, kind = "content") => ({ index, label, text: label, tokens: [index + 1], start: index * 10, end: index * 10 + label.length, kind });
  const words = { prompt: "red       circle", cut: null, tokens: [], words: [word(0, "red"), word(1, "circle")] } as never;
  it("of a phrase the last word is meant", () => {
    expect(atlasWord(words, "red circle")?.label).toBe("circle");
    expect(contentOf(INFO, "word", atlasWord(words, "circle"))?.id).toBe("word-1");
    expect(contentOf(INFO, "signed-word", atlasWord(words, "circle"))?.available).toBe(false);
    expect(contentOf(INFO, "focus", null)).toBeNull();
  });
  it("effects lie at their cells, and colour the frames by rank", () => {
    const effects = effectsOf(INFO, { target: "circle", word: "circle", unit: "u", heads: [{ rank: 2, site: "cross:mid", head: 2, effect: 1, low: null, high: null }, { rank: 1, site: "cross:down.0.0", head: 0, effect: 4, low: 3, high: 5 }] });
    expect([effects.values[9], effects.rank[9], effects.rank[0], effects.rank[1], effects.high![0]]).toEqual([1, 2, 1, 0, 5]);
    const colours = frames(15, "cause", null, effects, "magma");
    expect([...colours.slice(4, 8)]).toEqual([...colours.slice(8, 12)]); // of unknown rank: the plain edge
    expect([...colours.slice(0, 4)]).not.toEqual([...colours.slice(4, 8)]);
    expect(colours[4 * 0 + 1]).toBeGreaterThan(colours[4 * 9 + 1]!);
  });
});

describe("the address", () => {
  const shown: Shown = { content: "signed-word", order: "cause", kinds: ["cross"], grids: ["16x16", "8x8"], sites: "cross:up.*/3,5", top: 20, tint: "cause", range: "shared", camera: { x: 1.5, y: -2, span: 12.25 }, planes: { yaw: 0.5, pitch: -0.25 }, cursor: "cross:up.1.0/3@5,7", layers: 'a=1;b="x y&z"' };
  it("holds everything, there and back", () => {
    expect(readShown(writeShown(shown))).toEqual(shown);
    expect(writeShown(AT_FIRST)).toBe("");
    const address = { route: { view: "atlas" as const, run: "a-b", atlas: writeShown(shown) }, selection: { ...EVERYTHING, steps: "3", word: "red circle" }, also: ["blue"], direction: "to" as const, diffused: false };
    expect(readAddress(writeAddress(address))).toEqual(address);
    expect(writeAddress(readAddress(writeAddress(address)))).toBe(writeAddress(address));
  });
  it("that is odd still opens", () => {
    expect(readShown("content=x&order=y&camera=1,2&planes=a,b&top=-3&range=")).toEqual(AT_FIRST);
    expect(readShown("camera=1,2,0").camera).toBeNull();
  });
  it("names the cursor's cell and patch", () => {
    const find = (id: string) => cellById(CELLS, id);
    expect(cursorOf("cross:up.1.0/1@3,2", find)).toEqual({ cell: 14, patch: { x: 3, y: 2 } });
    expect(cursorOf("cross:up.1.0/1@9,2", find)).toEqual({ cell: 14, patch: null });
    expect(cursorOf("cross:no/1", find)).toBeNull();
    expect(cursorText({ cell: 14, patch: { x: 3, y: 2 } }, (cell) => CELLS[cell]!.id)).toBe("cross:up.1.0/1@3,2");
  });
});

describe("names", () => {
  const placed = flowLayout(CELLS.filter(({ kind }) => kind === "cross"), 15, 1, true);
  const at = (span: number) => labelsOf(placed, CELLS, () => true, { x: 3, y: 3, span }, { width: 1000, height: 700 }, null);
  it("are those of blocks from afar, of sites from near", () => {
    const far = at(20).map(({ text }) => text);
    expect(far).toContain("mid");
    expect(at(20).filter(({ style }) => style === "site").every(({ text }) => text.length <= 10)).toBe(true);
    const close = at(6).filter(({ style }) => style === "site").map(({ text }) => text);
    expect(close).toContain("down.1.0");
  });
});
