// Which runs are shown, in which order.

import type { RunSummary } from "../../api/types";

export type Order = "newest" | "oldest" | "prompt" | "seed" | "size";

export function arranged(runs: readonly RunSummary[], { filter, model, order }: { filter: string; model: string; order: Order }): RunSummary[] {
  const wanted = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (run: RunSummary) => `${run.prompt ?? ""} ${run.id} ${run.edits?.join(" ") ?? ""}`.toLowerCase();
  const found = runs.filter((run) => (!model || run.model === model) && wanted.every((word) => text(run).includes(word)));
  const orders: Record<Order, (a: RunSummary, b: RunSummary) => number> = {
    newest: (a, b) => b.created.localeCompare(a.created) || b.id.localeCompare(a.id),
    oldest: (a, b) => a.created.localeCompare(b.created) || a.id.localeCompare(b.id),
    prompt: (a, b) => (a.prompt ?? "").localeCompare(b.prompt ?? "") || (a.seed ?? 0) - (b.seed ?? 0),
    seed: (a, b) => (a.seed ?? Infinity) - (b.seed ?? Infinity) || a.id.localeCompare(b.id),
    size: (a, b) => b.bytes - a.bytes,
  };
  return found.sort(orders[order]);
}

export const childrenOf = (runs: readonly RunSummary[], id: string): RunSummary[] => runs.filter((run) => run.parent === id);

// From a run up to the one that was not edited.
export function rootOf(runs: readonly RunSummary[], id: string): RunSummary | null {
  let found = runs.find((run) => run.id === id) ?? null;
  for (let i = 0; found?.parent && i < runs.length; i++) {
    const above = runs.find((run) => run.id === found!.parent);
    if (!above) break;
    found = above;
  }
  return found;
}
