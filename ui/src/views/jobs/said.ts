// What a job is, and how it stands, in a line each.

import type { Job } from "../../api/types";
import { t } from "../../text";

const KINDS = t.jobs.kinds;

export function saidOf({ request }: Pick<Job, "request">): string {
  const text = (name: string) => (typeof request[name] === "string" ? (request[name] as string) : "");
  switch (request.kind) {
    case "record":
      return text("prompt");
    case "estimate":
      return KINDS.estimate(text("prompt"));
    case "edit":
      return KINDS.edit((Array.isArray(request.edits) ? request.edits : []).map((each: unknown) => editText(each)));
    case "concept":
      return KINDS.concept(text("text"));
    case "faithfulness":
      return KINDS.faithfulness(text("word"));
    case "windows":
      return KINDS.windows(text("word"));
    case "heads":
      return KINDS.heads(text("word"));
    case "sweep":
      return KINDS.sweep(Array.isArray(request.variations) ? request.variations.length : 0);
    case "study":
      return KINDS.study;
    default:
      return String(request.kind);
  }
}

// "silence circle", from the edit's JSON form.
function editText(edit: unknown): string {
  const value = (edit ?? {}) as Record<string, unknown>;
  const word = ["word", "toward", "text", "prompt"].map((name) => value[name]).find((each) => typeof each === "string" && each);
  return [value.edit, word].filter(Boolean).join(" ");
}

export function standing({ state, position, started, ended, created }: Pick<Job, "state" | "position" | "started" | "ended" | "created">): string {
  const when = new Date(ended ?? created).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  switch (state) {
    case "queued":
      return t.job.queued(position);
    case "done":
      return started && ended ? t.jobs.took(when, (Date.parse(ended) - Date.parse(started)) / 1000) : t.job.done;
    case "failed":
      return t.jobs.failedAt(when);
    case "cancelled":
      return t.jobs.cancelledAt(when);
    default:
      return t.job.starting;
  }
}
