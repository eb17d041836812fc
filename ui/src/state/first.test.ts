import { expect, it } from "vitest";
import { madeView, madeWords } from "../testing/made";
import { before, heldSteps, HELD, type Shot } from "./previews";
import { AHEAD, atlasHead, bytesOfWord, firstWord } from "./run";

it("a page opens on a word that names a thing", () => {
  const first = (prompt: string) => firstWord(madeWords(prompt))?.label;
  expect(first("a red circle left of a blue house")).toBe("circle");
  expect(first("red circle, blue house")).toBe("circle");
  expect(first("a photo of a big dog")).toBe("dog");
  expect(first("an astronaut riding a horse")).toBe("astronaut");
  expect(first("a house")).toBe("house");
  expect(first("of the")).toBe("of");
  expect(firstWord({ prompt: "", cut: null, tokens: [], words: [] })).toBeNull();
});

it("words that the encoder did not read are no first word", () => {
  const words = madeWords("a red circle");
  words.words[2]!.tokens = [];
  expect(firstWord(words)?.label).toBe("red");
});

it("pictures held ahead are bounded, and the nearest before stands in", () => {
  const steps = Array.from({ length: 200 }, (_, step) => step);
  const small = { width: 128, height: 128 };
  const held = heldSteps(steps, small);
  expect(held.length).toBeLessThanOrEqual(HELD);
  expect(held[0]).toBe(0);
  expect(heldSteps(steps.slice(0, 50), small).length).toBe(50);
  // At 512 pixels every second of 50: some 2.5 MB; at 1024 no fewer than a dozen of 200.
  expect(heldSteps(steps.slice(0, 50), { width: 512, height: 512 }).length).toBe(25);
  expect(heldSteps(steps, { width: 1024, height: 1024 }).length).toBe(12);
  const shots = new Map<number, Shot>(held.map((step) => [step, { step, address: "", picture: null }]));
  expect(before(shots, 7)!.step).toBe(4);
  expect(before(shots, 8)!.step).toBe(8);
  expect(before(new Map(), 8)).toBeNull();
});

it("a word's maps of an SD 1.5 run of 50 steps take 410 kB, so that some twenty words come ahead", () => {
  const { recording } = madeView("a red circle");
  const large = { ...recording, run: { ...recording.run, grid: [64, 64] }, steps: Array.from({ length: 50 }, (_, step) => step) };
  expect(bytesOfWord(large)).toBe(50 * 64 * 64 * 2);
  expect(Math.floor(AHEAD / bytesOfWord(large))).toBe(19);
  expect(bytesOfWord(recording)).toBe(4 * 4 * 4);
});

it("a head is read out of the atlas's file between its map's own ends", () => {
  // Two sites of two heads, maps of 1 x 2; slots: the mean and steps 0 and 3.
  const values = (count: number, at: (i: number) => number) => Float32Array.from({ length: count }, (_, i) => at(i));
  const file = {
    metadata: { slots: '["mean",0,3]', sites: '[{"index":2,"heads":[0,5],"first":0},{"index":7,"heads":[0,5],"first":2}]', unit: "probability" },
    tensors: {
      "maps/2": { dtype: "U8", shape: [3, 2, 1, 2], values: values(12, () => 0) },
      "maps/7": { dtype: "U8", shape: [3, 2, 1, 2], values: values(12, (i) => (i % 2 ? 255 : 51)) },
      min: { dtype: "F32", shape: [3, 4], values: values(12, (i) => i) },
      max: { dtype: "F32", shape: [3, 4], values: values(12, (i) => i + 10) },
      mean: { dtype: "F32", shape: [3, 4], values: values(12, (i) => i / 2) },
    },
  };
  const found = atlasHead(file, 7, 5, "circle");
  expect(found.steps).toEqual([0, 3]);
  expect(found.maps.map((map) => [...map])).toEqual([[9, 17], [13, 21]]); // cell' 3 of 4, in slots 1 and 2
  expect([...found.mass]).toEqual([3.5, 5.5]);
  expect([found.exact, found.width, found.height]).toEqual([false, 2, 1]);
  expect(() => atlasHead(file, 7, 3, "circle")).toThrow("head 3 was not kept");
});
