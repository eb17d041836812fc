// @vitest-environment jsdom
import { beforeEach, describe, expect, it } from "vitest";
import { EVERYTHING } from "../selection";
import { asEdit, draftOf } from "../views/edit/draft";
import { arranged, rootOf } from "../views/gallery/arrange";
import { recommended } from "../views/steps/WindowLane";
import { singleStep, stepTo } from "../views/steps/walk";
import type { RunSummary } from "../api/types";
import { readAddress, writeAddress, type Address } from "./address";
import { afterEvent, type LiveJob } from "./jobs";
import { connect, useStore } from "./store";

const address: Address = { route: { view: "run", run: "20261121-a-b" }, selection: { ...EVERYTHING, steps: "3", word: "red circle" }, also: ["blue", "a+b & c"], direction: "to", diffused: false };

describe("addresses", () => {
  it("go there and back", () => {
    expect(writeAddress(address)).toBe('#/run/20261121-a-b?select=steps=3+word=%22red+circle%22&also=blue&also=a%2Bb+%26+c');
    expect(readAddress(writeAddress(address))).toEqual(address);
    const region: Address = { ...address, selection: { ...EVERYTHING, region: "contour:1,2;3,4;5,6" }, direction: "from", diffused: true };
    expect(readAddress(writeAddress(region))).toEqual(region);
    const pair: Address = { ...address, route: { view: "compare", run: "a", other: "b", control: "c" } };
    expect(readAddress(writeAddress(pair))).toEqual(pair);
  });
  it("that are odd lead to the gallery", () => {
    for (const odd of ["", "#", "#/", "#/%E0%A4%A", "#/what/is/this", "#/run"]) expect(readAddress(odd).route.view).toBe("gallery");
  });
});

describe("the store", () => {
  beforeEach(async () => {
    window.location.hash = "";
    await new Promise((resolve) => setTimeout(resolve)); // its event comes later
    useStore.setState({ ...readAddress(""), playing: false });
  });
  it("puts words into the history and steps only into the address", async () => {
    const stop = connect(window);
    const before = window.history.length;
    useStore.getState().go({ view: "run", run: "a" });
    useStore.getState().select({ word: "red" });
    expect(window.location.hash).toBe("#/run/a?select=word=red");
    expect(window.history.length).toBe(before + 2);
    for (const step of ["0", "1", "2"]) useStore.getState().select({ steps: step });
    await new Promise((resolve) => setTimeout(resolve, 220));
    expect(window.location.hash).toBe("#/run/a?select=steps=2+word=red");
    expect(window.history.length).toBe(before + 2);
    stop();
  });
  it("forgets stored preferences that it does not know", () => {
    window.localStorage.setItem("diffuscope", JSON.stringify({ opacity: 40, colours: "jet", evil: 1 }));
    connect(window)();
    expect(useStore.getState().colours).toBe("magma");
    expect("evil" in useStore.getState()).toBe(false);
  });
});

describe("steps", () => {
  it("walk and stop at the ends", () => {
    const steps = [0, 2, 4];
    useStore.getState().select({ steps: "all" });
    stepTo(steps, 1);
    expect(useStore.getState().selection.steps).toBe("0");
    stepTo(steps, 1);
    stepTo(steps, 1);
    stepTo(steps, 1);
    expect(singleStep(useStore.getState().selection.steps, steps)).toBe(4);
    expect(singleStep("0:3", steps)).toBeNull();
  });
  it("the recommended window is 10 to 29 of 50, scaled", () => {
    expect(recommended(50)).toEqual({ from: 10, to: 29 });
    expect(recommended(25)).toEqual({ from: 5, to: 14 });
    expect(recommended(1)).toEqual({ from: 0, to: 0 });
  });
});

it("edits are made only when they are whole", () => {
  const draft = draftOf("circle", { from: 2, to: 4 }, "a red circle");
  const steps = [0, 1, 2, 3, 4, 5];
  expect(asEdit(draft, steps)).toEqual({ edit: "silence", word: "circle", steps: "2:5" });
  expect(asEdit({ ...draft, window: { from: 0, to: 5 } }, steps)).toEqual({ edit: "silence", word: "circle", steps: "all" });
  expect(asEdit({ ...draft, kind: "steer" }, steps)).toBeNull();
  expect(asEdit({ ...draft, kind: "steer", toward: " square ", word: "" }, steps)).toMatchObject({ toward: "square", away: null, word: null });
});

it("jobs follow their events", () => {
  const fresh = { id: "j", state: "queued", position: null, loading: null, opened: null, step: null, of: null, seconds: [], preview: null, maps: null, cancelling: false, notes: [], result: null, error: null } as LiveJob;
  const events: [string, Record<string, unknown>][] = [["queued", { position: 2 }], ["started", {}], ["loading", { model: "scenes" }], ["opened", { run: "r", steps: 4, words: ["a"] }], ["step", { step: 1, of: 4, seconds: 0.5, preview: "p", maps: null }], ["note", { message: "n" }]];
  const job = events.reduce((now, [name, data]) => afterEvent(now, name, data), fresh);
  expect(job).toMatchObject({ state: "running", step: 1, of: 4, preview: "p", maps: null, notes: ["n"], loading: null });
  expect(afterEvent(job, "done", { result: { runs: ["r"] } })).toMatchObject({ state: "done", result: { runs: ["r"] } });
});

it("runs are filtered, ordered, and traced to their root", () => {
  const run = (id: string, more: Partial<RunSummary>) => ({ id, prompt: "a red circle", created: id, model: "scenes", seed: 1, bytes: 1, parent: null, edits: [], ...more }) as RunSummary;
  const runs = [run("1", {}), run("2", { parent: "1", edits: ["silence circle"] }), run("3", { prompt: "a blue house", seed: 0, bytes: 9 })];
  expect(arranged(runs, { filter: "RED silence", model: "", order: "newest" }).map(({ id }) => id)).toEqual(["2"]);
  expect(arranged(runs, { filter: "", model: "scenes", order: "size" })[0]!.id).toBe("3");
  expect(arranged(runs, { filter: "", model: "", order: "seed" })[0]!.id).toBe("3");
  expect(rootOf(runs, "2")!.id).toBe("1");
});
