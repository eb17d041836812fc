// All jobs of the server, as they stand: looked at when the page opens a view, when it starts one, and for as long as any is
// at work or the list is open. Where nothing goes on nothing is asked.

import { useEffect } from "react";
import { create } from "zustand";
import type { Source } from "../api/source";
import type { Job } from "../api/types";

interface JobList {
  jobs: readonly Job[];
  error: Error | null;
  open: boolean; // the list is shown
  asked: number; // counts up when somebody has reason to look
}

export const useJobList = create<JobList>()(() => ({ jobs: [], error: null, open: false, asked: 0 }));

export const lookAtJobs = (): void => useJobList.setState(({ asked }) => ({ asked: asked + 1 }));

export const isOver = ({ state }: Pick<Job, "state">): boolean => state === "done" || state === "failed" || state === "cancelled";
export const atWork = (jobs: readonly Job[]): number => jobs.filter((job) => !isOver(job)).length;

const PAUSE = 1000;

export function useWatchedJobs(source: Source | null, view: string): void {
  const asked = useJobList((state) => state.asked);
  const open = useJobList((state) => state.open);
  const server = source?.server ?? null;
  useEffect(() => {
    if (!server || !source) return;
    let timer = 0;
    let going = true;
    const look = async () => {
      if (document.visibilityState === "visible") {
        try {
          const { jobs } = await source.json<{ jobs: Job[] }>("api/jobs");
          if (!going) return;
          useJobList.setState({ jobs, error: null });
        } catch (reason) {
          if (!going) return;
          useJobList.setState({ error: reason as Error });
        }
      }
      const { jobs, open: shown } = useJobList.getState();
      if (shown || atWork(jobs) > 0) timer = window.setTimeout(() => void look(), PAUSE);
    };
    void look();
    return () => {
      going = false;
      window.clearTimeout(timer);
    };
  }, [server, view, asked, open]);
}
