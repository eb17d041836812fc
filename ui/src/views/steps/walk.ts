// Walking the steps.

import { resolveRanges } from "../../selection";
import { useStore } from "../../state/store";

// The step that is shown, or null where it is all or several.
export function singleStep(text: string, steps: readonly number[]): number | null {
  const found = resolveRanges(text, (steps.at(-1) ?? -1) + 1);
  return found?.length === 1 && steps.includes(found[0]!) ? found[0]! : null;
}

export function goToStep(step: number): void {
  const { selection, select } = useStore.getState();
  if (selection.steps !== String(step)) select({ steps: String(step) });
}

// One step on or back; from all steps, to the first or the last.
export function stepTo(steps: readonly number[], by: 1 | -1): void {
  const now = singleStep(useStore.getState().selection.steps, steps);
  const at = now === null ? (by > 0 ? -1 : steps.length) : steps.indexOf(now);
  const next = steps[Math.max(0, Math.min(steps.length - 1, at + by))];
  useStore.getState().set({ playing: false });
  if (next !== undefined) goToStep(next);
}

// The step at a share of the axis.
export function goToShare(steps: readonly number[], share: number): void {
  const step = steps[Math.max(0, Math.min(steps.length - 1, Math.floor(share * steps.length)))];
  useStore.getState().set({ playing: false });
  if (step !== undefined) goToStep(step);
}
