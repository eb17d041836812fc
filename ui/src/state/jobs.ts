// Jobs of the server: started, followed by their events, cancelled.

import { useEffect, useState } from "react";
import type { Source } from "../api/source";
import type { Failure, Job, JobRequest, JobResult } from "../api/types";
import { t } from "../text";
import { lookAtJobs } from "./jobList";

export interface LiveJob {
  id: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  position: number | null;
  loading: string | null; // the model that is loaded first
  opened: { run: string; steps: number; words: string[] } | null;
  step: number | null; // the last step that is drawn
  of: number | null;
  seconds: number[]; // of the steps so far
  preview: string | null;
  maps: string | null;
  cancelling: boolean;
  notes: string[];
  result: JobResult | null;
  error: Failure | null;
}

const fresh = (id: string): LiveJob => ({
  id, state: "queued", position: null, loading: null, opened: null, step: null, of: null, seconds: [], preview: null, maps: null, cancelling: false, notes: [], result: null, error: null,
});

export const ended = (job: LiveJob): boolean => job.state === "done" || job.state === "failed" || job.state === "cancelled";

export function afterEvent(job: LiveJob, name: string, data: Record<string, unknown>): LiveJob {
  switch (name) {
    case "queued":
      return { ...job, position: data.position as number };
    case "started":
      return { ...job, state: "running", position: null };
    case "loading":
      return { ...job, state: "running", loading: data.model as string };
    case "opened":
      return { ...job, state: "running", loading: null, opened: data as unknown as LiveJob["opened"], of: data.steps as number };
    case "step": {
      const seconds = typeof data.seconds === "number" ? [...job.seconds, data.seconds] : job.seconds;
      const next = { ...job, state: "running" as const, loading: null, step: data.step as number, of: (data.of as number | undefined) ?? job.of, seconds };
      return { ...next, preview: (data.preview as string | null) ?? job.preview, maps: (data.maps as string | null) ?? job.maps };
    }
    case "note":
      return { ...job, notes: [...job.notes, data.message as string] };
    case "cancelling":
      return { ...job, cancelling: true };
    case "done":
      return { ...job, state: "done", result: data.result as JobResult | null };
    case "failed":
      return { ...job, state: "failed", error: data.error as Failure };
    case "cancelled":
      return { ...job, state: "cancelled", result: (data.result as JobResult | null) ?? null };
    default:
      return job;
  }
}

const EVENTS = ["queued", "started", "loading", "estimate", "opened", "step", "note", "cancelling", "done", "failed", "cancelled"];

// Calls `tell` after each event, until the job has ended; the browser reconnects by itself and misses nothing.
export function follow(source: Source, id: string, tell: (job: LiveJob) => void): () => void {
  let job = fresh(id);
  const stream = source.server!.events(`api/jobs/${encodeURIComponent(id)}/events`);
  for (const name of EVENTS) {
    stream.addEventListener(name, (event) => {
      job = afterEvent(job, name, JSON.parse((event as MessageEvent<string>).data) as Record<string, unknown>);
      if (ended(job)) stream.close();
      tell(job);
    });
  }
  stream.addEventListener("error", () => {
    if (stream.readyState !== EventSource.CLOSED || ended(job)) return;
    job = { ...job, state: "failed", error: { class: "Unreachable", code: "unreachable", message: t.job.lost } };
    tell(job);
  });
  return () => stream.close();
}

export async function startJob(source: Source, body: JobRequest): Promise<Job> {
  const job = await source.server!.send<Job>("POST", "api/jobs", body);
  lookAtJobs();
  return job;
}

export async function cancelJob(source: Source, id: string): Promise<Job> {
  const job = await source.server!.send<Job>("DELETE", `api/jobs/${encodeURIComponent(id)}`);
  lookAtJobs();
  return job;
}

// Start a job and wait for its end.
export async function runJob(source: Source, body: JobRequest): Promise<LiveJob> {
  const { id } = await startJob(source, body);
  return new Promise((resolve) => follow(source, id, (job) => ended(job) && resolve(job)));
}

export function useJob(source: Source, id: string | null): LiveJob | null {
  const [job, setJob] = useState<LiveJob | null>(null);
  useEffect(() => {
    setJob(id ? fresh(id) : null);
    return id ? follow(source, id, setJob) : undefined;
  }, [source, id]);
  return job;
}
