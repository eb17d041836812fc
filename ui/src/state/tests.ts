// The tests of a recording's word maps: what was found so far, and testing words one after another.

import { useEffect } from "react";
import { create } from "zustand";
import type { Faithfulness } from "../api/types";
import type { Source } from "../api/source";
import { ended, cancelJob, follow, startJob } from "./jobs";
import { filePath, type Recording } from "./run";

export const VERDICTS = ["supported", "in part", "not supported", "no effect"] as const;
export type Verdict = (typeof VERDICTS)[number];
export type Test = Faithfulness["tests"][string];

interface Tests {
  run: string | null;
  found: Readonly<Record<string, Test>>;
  testing: string | null;
  job: string | null; // of the word that is tested
  waiting: readonly string[];
  error: string | null;
}

const NONE: Tests = { run: null, found: {}, testing: null, job: null, waiting: [], error: null };

export const useTestStore = create<Tests>()(() => NONE);

const read = async ({ source, run }: Recording): Promise<void> => {
  // It grows by tests, so that its address carries no version.
  const { tests } = await source.json<Faithfulness>(filePath({ id: run.id, version: null }, "faithfulness.json"));
  if (useTestStore.getState().run === run.id) useTestStore.setState({ found: tests });
};

// What is known of the recording's words; asked for when what is seen first is there.
export function useTests(recording: Recording, ready: boolean): Tests {
  const state = useTestStore();
  const { run } = recording;
  useEffect(() => {
    if (!ready || useTestStore.getState().run === run.id) return;
    useTestStore.setState({ ...NONE, run: run.id });
    read(recording).catch(() => undefined); // a recording without such a file was not tested
  }, [run.id, ready]);
  return state.run === run.id ? state : NONE;
}

export const testable = ({ source }: { source: Source }): boolean => source.server !== null && !source.site.read_only;

// Tests words one after another, each by a job of its own, so that others' jobs find their turn between them.
export async function testWords(recording: Recording, labels: readonly string[]): Promise<void> {
  const { run, source } = recording;
  const { getState, setState } = useTestStore;
  const here = () => getState().run === run.id;
  setState({ waiting: [...getState().waiting, ...labels.filter((label) => label !== getState().testing && !getState().waiting.includes(label))], error: null });
  if (getState().testing !== null) return;
  while (here() && getState().waiting.length > 0) {
    const [word, ...waiting] = getState().waiting as [string, ...string[]];
    setState({ testing: word, waiting });
    try {
      const { id } = await startJob(source, { kind: "faithfulness", run: run.id, word });
      if (here()) setState({ job: id });
      const job = await new Promise<Parameters<Parameters<typeof follow>[2]>[0]>((resolve) => follow(source, id, (live) => ended(live) && resolve(live)));
      if (!here()) return;
      if (job.state === "failed") setState({ error: job.error?.message ?? job.state });
      if (job.state !== "done") setState({ waiting: [] });
      await read(recording);
    } catch (reason) {
      if (here()) setState({ error: reason instanceof Error ? reason.message : String(reason), waiting: [] });
    }
    if (here()) setState({ testing: null, job: null });
  }
}

export function stopTests(source: Source): void {
  const { job } = useTestStore.getState();
  useTestStore.setState({ waiting: [] });
  if (job) cancelJob(source, job).catch(() => undefined);
}
