// @vitest-environment jsdom
import { beforeEach, describe, expect, it } from "vitest";
import { blank, box, type Patches } from "../../../maps/patches";
import type { Cell } from "../cells";
import { useAtlas } from "../state";
import { pick, combined } from "./query";
import { after, afterSearchEvent, type Search } from "./running";
import { useAct } from "./store";
import { liveStroke, onStroke, Stroke } from "./stroke";
import { current, editsOf, EMPTY, missing, newLayer, readWork, withLayer, workText, type Ground, type Layer, type Work } from "./work";
import { rowsOf } from "../find/effects";

const SITES: [string, string, number, number][] = [["self:down.0.0", "self", 16, 4], ["cross:down.0.0", "cross", 16, 4], ["cross:mid", "cross", 4, 8], ["cross:up.2.0", "cross", 16, 4]];
const cells: Cell[] = [];
SITES.forEach(([site, kind, side, heads], siteIndex) => {
  for (let head = 0; head < heads; head++) cells.push({ index: cells.length, site, siteIndex, head, kind, grid: [side, side], id: `${site}/${head}`, block: "", stage: "", column: siteIndex, depth: 0 } as unknown as Cell);
});
const ground: Ground = { cells, counts: new Map(SITES.map(([site, , , heads]) => [site, heads])), steps: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], picture: { width: 128, height: 128 } };

function boxed(x0: number, y0: number, x1: number, y1: number): Patches {
  const patches = blank([16, 16]);
  box(patches, { x: x0, y: y0 }, { x: x1, y: y1 }, 1);
  return patches;
}

describe("work as text", () => {
  const layers: Layer[] = [
    { ...newLayer("Hole | ~ 100%"), heads: ["cross:up.2.0/0", "cross:up.2.0/1", "cross:mid/7"], patches: boxed(3, 4, 9, 11), window: { from: 4, to: 9 }, kind: "encode", text: "a big (red) ring: 50%~", strength: 0.75 },
    { ...newLayer("b"), visible: false, kind: "scale", factor: -0.5 },
    { ...newLayer("c"), kind: "patch", donor: "20261121-a-b", strength: 1.5, patches: blank([8, 4]) },
    { ...newLayer(""), kind: "silence", word: "circle#2" },
  ];
  it("goes there and back", () => {
    const work: Work = { layers, now: 2, result: "20261121-150341-x" };
    expect(readWork(workText(work))).toEqual(work);
    const again = new URLSearchParams(`layers=${encodeURIComponent(workText(work))}`).get("layers");
    expect(readWork(again!)).toEqual(work);
  });
  it("is compact", () => {
    expect(workText({ layers: [layers[0]!], now: 0, result: null })).toBe("Hole %7c %7e 100%25~~cross:up.2.0(0:2),cross:mid(7)~16x16.1v.7.9.7.9.7.9.7.9.7.9.7.9.7.9.7~4:10~encode(0.75):a big (red) ring: 50%25%7e");
  });
  it("that is odd is left out", () => {
    for (const odd of ["", "nothing", "a~b", "x~~~~~dance(1)", "now=3"]) expect(readWork(odd)).toBeNull();
    expect(readWork("a~~~5x~9:2~scale(1e)")!.layers[0]).toMatchObject({ patches: null, window: null, factor: 0 });
  });
});

describe("edits of a layer", () => {
  it("one for each set of heads, at its steps and patches", () => {
    const layer: Layer = { ...newLayer("a"), heads: ["cross:down.0.0/1", "cross:down.0.0/2", "cross:mid/0", "cross:up.2.0/1", "cross:up.2.0/2"], patches: boxed(1, 2, 3, 4), window: { from: 6, to: 9 }, text: " ring ", strength: 0.5 };
    const where = { steps: "6:10", patches: { region: "box:1,2,3,4", grid: [16, 16] } };
    expect(editsOf(layer, ground)).toEqual([
      { edit: "encode", text: "ring", strength: 0.5, sites: "cross:down.0.0,cross:up.2.0", heads: "1:3", ...where },
      { edit: "encode", text: "ring", strength: 0.5, sites: "cross:mid", heads: "0", ...where },
    ]);
  });
  it("no heads are every head, and full sites join", () => {
    expect(editsOf({ ...newLayer("a"), kind: "scale", factor: 0 }, ground)).toEqual([{ edit: "scale", factor: 0 }]);
    const heads = cells.filter(({ kind }) => kind === "cross").map(({ id }) => id);
    expect(editsOf({ ...newLayer("a"), kind: "scale", factor: 2, heads }, ground)).toEqual([{ edit: "scale", factor: 2, sites: "cross:down.0.0,cross:mid,cross:up.2.0", heads: "all" }]);
  });
  it("leaves out heads where it cannot act, and says what is missing", () => {
    const layer = { ...newLayer("a"), kind: "silence" as const, word: "circle", heads: ["self:down.0.0/0", "cross:mid/3"] };
    expect(editsOf(layer, ground)).toEqual([{ edit: "silence", word: "circle", sites: "cross:mid", heads: "3" }]);
    expect(missing({ ...layer, heads: ["self:down.0.0/0"] }, cells)).toBe("heads");
    expect(missing({ ...layer, word: "" }, cells)).toBe("word");
    expect(missing({ ...layer, patches: blank([4, 4]) }, cells)).toBe("patches");
    expect(missing(layer, cells)).toBeNull();
  });
});

describe("the history", () => {
  beforeEach(() => {
    window.localStorage.clear();
    useAtlas.getState().set({ layers: "" });
    useAct.setState({ run: null, work: EMPTY, past: [], future: [], drawn: [] });
    useAct.getState().open("a");
  });
  it("goes back and on, and a new change ends what was undone", () => {
    const { change, undo, redo } = useAct.getState();
    const text = () => workText(useAct.getState().work);
    const [none, one, two] = [EMPTY, withLayer(EMPTY, { patches: boxed(0, 0, 1, 1) }), withLayer(EMPTY, { patches: boxed(0, 0, 5, 5) })];
    change(one, "brush");
    change(two, "brush");
    change(two, "brush"); // nothing new
    expect(useAct.getState().past).toHaveLength(2);
    undo();
    expect(text()).toBe(workText(one));
    undo();
    expect(text()).toBe(workText(none));
    undo();
    redo();
    redo();
    expect(text()).toBe(workText(two));
    undo();
    change(withLayer(EMPTY, { heads: ["cross:mid/1"] }), "heads");
    expect(useAct.getState().future).toHaveLength(0);
  });
  it("is told to the address and kept by the browser; an address wins", () => {
    const { change, add } = useAct.getState();
    change(withLayer(EMPTY, { text: "ring", patches: boxed(2, 2, 4, 4) }), "act");
    add({ run: "made", control: null, layers: workText(useAct.getState().work), says: "ring" });
    const kept = workText(useAct.getState().work);
    expect(useAtlas.getState().layers).toBe(kept);
    useAtlas.getState().set({ layers: "" });
    useAct.setState({ run: null, work: EMPTY });
    useAct.getState().open("a");
    expect(workText(useAct.getState().work)).toBe(kept);
    expect(useAct.getState().drawn[0]).toMatchObject({ run: "made" });
    useAct.setState({ run: null });
    useAtlas.setState({ layers: "x~~~~~silence:red" });
    useAct.getState().open("a");
    expect(current(useAct.getState().work)).toMatchObject({ name: "x", kind: "silence", word: "red" });
  });
  it("follows a link that is opened in the same tab", () => {
    useAtlas.getState().set({ layers: "y~~~~~scale(0.5)" });
    expect(current(useAct.getState().work)).toMatchObject({ name: "y", factor: 0.5 });
    useAct.getState().undo();
    expect(workText(useAct.getState().work)).toBe(workText(EMPTY));
  });
});

describe("strokes", () => {
  it("are seen while they are made, and end as patches", () => {
    const seen: (Patches | undefined)[] = [];
    const stop = onStroke(() => seen.push(liveStroke()?.patches));
    const stroke = new Stroke(null, [8, 8], "brush", 0.1, { x: 1.5, y: 1.5 });
    stroke.to({ x: 4.5, y: 1.5 });
    const made = stroke.end();
    stop();
    expect([...made.cells.keys()].filter((i) => made.cells[i])).toEqual([9, 10, 11, 12]);
    expect(seen).toHaveLength(3);
    expect(seen.at(-1)).toBeUndefined();
  });
  it("on a coarse grid take whole cells of a finer plane", () => {
    const made = new Stroke(boxed(0, 0, 0, 0), [4, 4], "brush", 0.05, { x: 2.5, y: 0.5 }).end();
    expect(made.grid).toEqual([16, 16]);
    expect(made.cells.reduce((sum, cell) => sum + cell, 0)).toBe(17);
    const less = new Stroke(made, [16, 16], "eraser", 0.01, { x: 8.5, y: 0.5 }).end();
    expect(less.cells.reduce((sum, cell) => sum + cell, 0)).toBe(16);
  });
});

describe("heads by name", () => {
  const source = { server: null } as never;
  it("are patterns with heads, added or taken away", async () => {
    const one = await pick("cross:up.*/0,2:4", cells, source, "r");
    expect(one).toEqual({ mode: "set", ids: ["cross:up.2.0/0", "cross:up.2.0/2", "cross:up.2.0/3"] });
    expect([...combined(await pick("+ cross:mid/1", cells, source, "r"), one.ids)]).toHaveLength(4);
    expect([...combined(await pick("-cross:up.2.0", cells, source, "r"), [...one.ids, "cross:mid/1"])]).toEqual(["cross:mid/1"]);
    await expect(pick("nowhere", cells, source, "r")).rejects.toThrow("No head");
    await expect(pick("top 5 for circle", cells, source, "r")).rejects.toThrow("server");
    const mass = (word: string) => (word === "red circle" ? Float64Array.from(cells, ({ kind, index }) => (kind === "cross" ? index : NaN)) : null);
    expect((await pick("top 2 for 'red circle'", cells, source, "r", mass)).ids).toEqual(["cross:up.2.0/3", "cross:up.2.0/2"]);
  });
});

describe("a search", () => {
  it("fills in head by head, then by whole rankings", () => {
    let search: Search = { id: "j", state: "waiting", done: 0, of: 0, error: null, label: "circle", ranking: null, effects: new Map() };
    search = afterSearchEvent(search, "effect", { site: "cross:mid", head: 1, seed: 1, inside: 2, outside: 0 });
    search = afterSearchEvent(search, "effect", { site: "cross:mid", head: 0, seed: 1, inside: 3, outside: 0 });
    search = afterSearchEvent(search, "work", { done: 2, of: 8 });
    expect(search).toMatchObject({ state: "running", done: 2, of: 8 });
    expect(rowsOf(null, search.effects).map(({ id, rank }) => [id, rank])).toEqual([["cross:mid/0", 1], ["cross:mid/1", 2]]);
    const heads = [{ site: "cross:mid", head: 1, effect: 5, low: 4, high: 6, seeds: 2, state: "top" }];
    search = afterSearchEvent(search, "ranking", { target: "circle", heads });
    expect(rowsOf(search.ranking, search.effects).map(({ id, low }) => [id, low])).toEqual([["cross:mid/1", 4], ["cross:mid/0", null]]);
    expect(after(search, "failed", { error: { message: "no" } }).state).toBe("failed");
  });
});
