import { describe, expect, it } from "vitest";
import { EVERYTHING, parseSelection, rangesText, resolveRanges, resolveSites, selectionText } from "./selection";

describe("the text form", () => {
  it("is what Python writes", () => {
    expect(selectionText(EVERYTHING)).toBe("all");
    expect(selectionText({ ...EVERYTHING, steps: "0:10", sites: "cross:up.*", word: "circle#2" })).toBe("steps=0:10 sites=cross:up.* word=circle#2");
    expect(selectionText({ ...EVERYTHING, word: 'a "big" \\ circle' })).toBe('word="a \\"big\\" \\\\ circle"');
  });
  it("comes back as it was", () => {
    for (const word of ["circle", "red circle", 'say "hi"', "back\\slash", "ünïcode", "a=b"]) {
      const selection = { ...EVERYTHING, steps: "3", heads: "0,2:4", word };
      expect(parseSelection(selectionText(selection))).toEqual(selection);
    }
  });
  it("leaves out what it does not understand", () => {
    expect(parseSelection("colour=red word=circle <img>")).toEqual({ ...EVERYTHING, word: "circle" });
  });
});

describe("ranges", () => {
  it("name steps", () => {
    expect(resolveRanges("all", 3)).toEqual([0, 1, 2]);
    expect(resolveRanges("0:2,4", 5)).toEqual([0, 1, 4]);
    expect(resolveRanges("3:", 5)).toEqual([3, 4]);
    expect(resolveRanges("5", 5)).toBeNull();
    expect(resolveRanges("1:x", 5)).toBeNull();
  });
  it("are written short", () => {
    expect(rangesText([4, 0, 1, 2], 9)).toBe("0:3,4");
    expect(rangesText([0, 1, 2], 3)).toBe("all");
  });
});

it("sites are chosen by a shell's patterns", () => {
  const names = ["cross:down.0.0", "cross:mid", "cross:up.1.0", "cross:up.1.1"];
  expect(resolveSites("cross:up.*", names)).toEqual(["cross:up.1.0", "cross:up.1.1"]);
  expect(resolveSites("cross:up.1.[!0],cross:mid", names)).toEqual(["cross:mid", "cross:up.1.1"]);
  expect(resolveSites("cross:down.0?0", names)).toEqual(["cross:down.0.0"]);
});
