// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import { EVERYTHING } from "../../selection";
import { useStore } from "../../state/store";
import { useTestStore } from "../../state/tests";
import { madeSource, madeView } from "../../testing/made";
import { Prompt } from "./Prompt";

beforeEach(() => {
  useStore.setState({ selection: { ...EVERYTHING }, also: [] });
  useTestStore.setState({ run: "run", found: {}, testing: null, job: null, waiting: [], error: null });
});
afterEach(cleanup);

const chip = (name: string) => screen.getByRole("button", { name });

it("chips are the words, in the prompt's own order, and its text between them is text", () => {
  render(<Prompt {...madeView("a red circle, a <b>ring")} />);
  const group = screen.getByRole("group");
  expect(group.querySelectorAll(".chip").length).toBe(7); // six words and the start token
  expect(group.textContent).toContain("<");
  expect(group.querySelector("b")).toBeNull();
  expect([...group.querySelectorAll(".chip")].map((each) => each.getAttribute("aria-keyshortcuts"))).toEqual(["1", "2", "3", "4", "5", "6", null]);
});

it("a press chooses one word, with Shift it stands beside, and again it goes", () => {
  render(<Prompt {...madeView("a red circle", { selection: { word: "red" } })} />);
  expect(chip("red").getAttribute("aria-pressed")).toBe("true");
  fireEvent.click(chip("circle"));
  expect(useStore.getState().selection.word).toBe("circle");
  fireEvent.click(chip("circle"), { shiftKey: true });
  expect(useStore.getState().also).toEqual(["circle"]);
  fireEvent.click(chip("circle"), { shiftKey: true });
  expect(useStore.getState().also).toEqual([]);
});

it("the line below a chip is its mass at the step shown against the largest", () => {
  render(<Prompt {...madeView("a red circle", { selection: { word: "red", steps: "2" } })} />);
  const mass = (name: string) => Number(chip(name).style.getPropertyValue("--mass"));
  expect(mass("circle")).toBe(1);
  expect(mass("red")).toBeCloseTo(2 / 3);
  expect(mass("a")).toBeCloseTo(1 / 3);
});

it("neighbours that stand beside one another join to a phrase; others do not", () => {
  useStore.setState({ also: ["circle"] });
  const { unmount } = render(<Prompt {...madeView("a red circle", { selection: { word: "red" } })} />);
  fireEvent.click(screen.getByRole("button", { name: "as one phrase" }));
  expect(useStore.getState().selection.word).toBe("red circle");
  unmount();
  useStore.setState({ also: ["circle"] });
  render(<Prompt {...madeView("a red circle", { selection: { word: "a" } })} />);
  expect(screen.queryByRole("button", { name: "as one phrase" })).toBeNull();
});

it("what was tested is marked and told, and the rest can be tested where there is a server", () => {
  useTestStore.setState({ found: { circle: { verdict: "supported" }, red: { verdict: "not supported" } } });
  const { unmount } = render(<Prompt {...madeView("a red circle")} />);
  expect(chip("circle").getAttribute("title")).toContain("supported");
  expect(chip("circle").querySelector(".verdict.supported")).not.toBeNull();
  expect(chip("a").querySelector(".verdict")).toBeNull();
  expect(screen.getByTestId("verdict-key").textContent).toContain("not supported");
  expect(screen.getByRole("button", { name: /Test the other word/ })).toBeTruthy();
  unmount();
  render(<Prompt {...madeView("a red circle", { source: madeSource({ served: false }) })} />);
  expect(screen.queryByRole("button", { name: /Test/ })).toBeNull();
  expect(screen.getByTestId("verdict-key")).toBeTruthy();
});

it("while words are tested it is said, and can be stopped", () => {
  useTestStore.setState({ testing: "red", waiting: ["circle", "a"] });
  render(<Prompt {...madeView("a red circle")} />);
  expect(screen.getByRole("status").textContent).toContain("“red”, 2 to go");
  fireEvent.click(screen.getByRole("button", { name: "Stop testing" }));
  expect(useTestStore.getState().waiting).toEqual([]);
});
