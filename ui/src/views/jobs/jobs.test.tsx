// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Job } from "../../api/types";
import { atWork, useJobList } from "../../state/jobList";
import { LibraryContext } from "../../state/source";
import { madeJob, madeSource } from "../../testing/made";
import { JobsButton } from "./Jobs";
import { saidOf, standing } from "./said";

const jobs: Job[] = [
  madeJob("5", "queued", { position: 1 }),
  madeJob("4", "queued", { position: 0, kind: "faithfulness", request: { kind: "faithfulness", run: "r", word: "circle" } }),
  madeJob("3", "running", { progress: { step: 2, of: 8, seconds_left: null } }),
  madeJob("2", "failed", { ended: "2026-01-01T10:00:09Z", error: { class: "WorkerDiedError", code: "worker-died", message: "the worker was killed", details: {} } }),
  madeJob("1", "done", { started: "2026-01-01T10:00:00Z", ended: "2026-01-01T10:00:02.500Z", kind: "edit", request: { kind: "edit", run: "r", edits: [{ edit: "silence", word: "circle" }] }, result: { runs: ["made"], control: "c" } }),
];

beforeEach(() => useJobList.setState({ jobs, error: null, open: false }));
afterEach(cleanup);

function shown(source = madeSource({ answers: { "api/jobs/5": {}, "api/jobs": { jobs } } })) {
  render(<LibraryContext value={{ source, example: null, runs: [], trash: [], reload: async () => undefined }}><JobsButton /></LibraryContext>);
  return source;
}

it("the button says how many are at work, and opens the list", () => {
  shown();
  expect(atWork(jobs)).toBe(3);
  const button = screen.getByRole("button", { name: "Jobs, 3 at work" });
  expect(screen.getByTestId("jobs-busy").textContent).toBe("3");
  fireEvent.click(button);
  expect(screen.getByRole("dialog", { name: "Jobs" })).toBeTruthy();
});

it("running, waiting in their order, and over, each with what is to be known", () => {
  useJobList.setState({ open: true });
  shown();
  const texts = (name: string) => within(screen.getByRole("region", { name })).getAllByTestId("job").map((each) => each.textContent ?? "");
  expect(texts("At work")[0]).toContain("a picture 3");
  expect(screen.getByRole("progressbar", { name: /a picture 3/ }).getAttribute("aria-valuenow")).toBe("25");
  const waiting = texts("Waiting");
  expect(waiting[0]).toContain("Test of “circle”");
  expect(waiting[0]).toContain("Next in the queue");
  expect(waiting[1]).toContain("In the queue, 1 before it");
  const over = texts("Over");
  expect(over[0]).toContain("the worker was killed");
  expect(over[1]).toContain("silence circle");
  expect(over[1]).toContain("in 2.5 s");
  expect(screen.getByRole("link", { name: "Compare" }).getAttribute("href")).toBe("#/compare/r/made?control=c");
});

it("a job that waits is cancelled by its own button", () => {
  useJobList.setState({ open: true });
  const source = shown();
  fireEvent.click(screen.getByRole("button", { name: "Cancel “a picture 5”" }));
  expect(source.sent).toEqual([{ method: "DELETE", path: "api/jobs/5", body: undefined }]);
  expect(within(screen.getByRole("region", { name: "Over" })).queryByRole("button", { name: /Cancel/ })).toBeNull();
});

it("without a server there are no jobs", () => {
  shown(madeSource({ served: false }));
  expect(screen.queryByRole("button")).toBeNull();
});

it("every kind of job has a name, and every state a sentence", () => {
  for (const kind of ["record", "estimate", "edit", "concept", "faithfulness", "windows", "heads", "sweep", "study"]) {
    expect(saidOf({ request: { kind, prompt: "a ring", text: "roof", word: "ring", edits: [{ edit: "silence", word: "ring" }], variations: [[], []] } })).not.toBe("");
  }
  for (const state of ["queued", "done", "failed", "cancelled", "running"] as const) expect(standing(madeJob("1", state))).not.toBe("");
});
