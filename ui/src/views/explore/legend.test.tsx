// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { useStore } from "../../state/store";
import { madeView } from "../../testing/made";
import { Legend } from "./Legend";
import { colourRange } from "./view";

beforeEach(() => useStore.setState({ range: "word", place: null, look: "colour" }));
afterEach(cleanup);

const view = madeView("a red circle", { selection: { word: "red", steps: "1" } });

describe("the colour scale", () => {
  it("says its unit, its ends and what it runs over", () => {
    // "red" is word 1: 2 (step + 1) / 100, at most 0.08 over four steps; all words together 0.12 of "circle".
    const ends = { word: ["0", "0.0800"], shared: ["0", "0.120"], map: ["0", "0.0400"] } as const;
    for (const mode of ["word", "shared", "map"] as const) {
      useStore.setState({ range: mode });
      const { unmount } = render(<Legend view={view} />);
      expect([screen.getByTestId("legend-low").textContent, screen.getByTestId("legend-high").textContent]).toEqual(ends[mode]);
      expect(screen.getByRole("img").getAttribute("aria-label")).toContain(`attention probability, from ${ends[mode][0]} to ${ends[mode][1]}`);
      unmount();
    }
  });
  it("marks the value under the pointer", () => {
    useStore.setState({ place: { x: 0.75, y: 0.25 } }); // patch 1: 0.04 of 0 … 0.08
    const { container } = render(<Legend view={view} />);
    expect(Number((container.querySelector(".legend-mark") as HTMLElement).style.getPropertyValue("--at"))).toBeCloseTo(0.5);
  });
  it("is of the map itself, and says so, where the answer has no steps", () => {
    expect(colourRange({ ...view, question: { ...view.question, series: null } }, "shared").mode).toBe("map");
  });
});
