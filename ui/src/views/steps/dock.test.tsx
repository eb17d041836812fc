// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { EVERYTHING } from "../../selection";
import { useStore } from "../../state/store";
import { madeSource, madeView } from "../../testing/made";
import { Dock } from "./Dock";
import { WindowLane, type Window } from "./WindowLane";

const source = madeSource({ answers: { "api/runs/run/timeline.json": { available: false, steps: [], log_snr: [], words: [], controls: [] } } });

beforeEach(() => {
  HTMLCanvasElement.prototype.getContext = (() => null) as never;
  Object.assign(Element.prototype, { setPointerCapture: () => undefined, hasPointerCapture: () => true });
  useStore.setState({ selection: { ...EVERYTHING, word: "red" }, also: [], playing: false });
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

const dock = (steps: string) => render(<Dock {...madeView("a red circle", { source, selection: { word: "red", steps } })} />);

it("the scrubber walks the steps that were kept, and says which it is", () => {
  dock("1");
  const slider = screen.getByRole("slider", { name: "Step" });
  expect(slider.getAttribute("aria-valuetext")).toBe("step 1 of 4");
  expect(screen.getByTestId("step").textContent).toContain("log-SNR -1.00");
  fireEvent.change(slider, { target: { value: "3" } });
  expect(useStore.getState().selection.steps).toBe("3");
});

it("all steps are one press away, and the scrubber says that no single one is shown", () => {
  dock("all");
  expect(screen.getByRole("slider", { name: "Step" }).getAttribute("aria-valuetext")).toBe("all 4 steps");
  useStore.setState({ selection: { ...EVERYTHING, steps: "2" } });
  fireEvent.click(screen.getByRole("button", { name: "All steps" }));
  expect(useStore.getState().selection.steps).toBe("all");
});

it("strips stand for content words, and their names choose them", () => {
  dock("all");
  expect(screen.getAllByRole("img", { name: /attention mass:/ }).map((each) => each.getAttribute("aria-label")!.split(",")[0])).toEqual(["red", "circle"]);
  fireEvent.click(screen.getByRole("button", { name: "circle" }));
  expect(useStore.getState().selection.word).toBe("circle");
});

it("playing ends at the last step", async () => {
  const frames: FrameRequestCallback[] = [];
  vi.stubGlobal("requestAnimationFrame", (tick: FrameRequestCallback) => frames.push(tick));
  vi.stubGlobal("cancelAnimationFrame", () => undefined);
  useStore.setState({ playing: true, speed: 8, loop: false });
  dock("all");
  let now = performance.now();
  for (let i = 0; i < 8 && frames.length; i++) frames.shift()!((now += 200));
  expect(useStore.getState().selection.steps).toBe("3");
  expect(useStore.getState().playing).toBe(false);
  vi.unstubAllGlobals();
});

it("a window is drawn in either direction and stays on the axis", () => {
  const told: Window[] = [];
  render(<WindowLane window={{ from: 0, to: 0 }} count={10} onChange={(window) => told.push(window)} />);
  const lane = screen.getByTestId("window");
  lane.getBoundingClientRect = () => ({ left: 100, width: 200 }) as DOMRect;
  const at = (name: "pointerDown" | "pointerMove" | "pointerUp", clientX: number) => fireEvent(lane, Object.assign(new MouseEvent(name.toLowerCase(), { bubbles: true, clientX }), { pointerId: 1 }));
  at("pointerDown", 250); // place 7
  at("pointerMove", 130); // place 1
  at("pointerMove", 900); // beyond the end
  at("pointerUp", 900);
  at("pointerMove", 100); // let go: nothing more
  expect(told).toEqual([{ from: 7, to: 7 }, { from: 1, to: 7 }, { from: 7, to: 9 }]);
});
