// An edit as its form holds it, and the value that it makes.

import type { Edit } from "../../api/types";
import { rangesText } from "../../selection";
import type { Window } from "../steps/WindowLane";

export type Kind = Edit["edit"];

export interface Draft {
  kind: Kind;
  word: string; // empty: the whole prompt (steering alone)
  toward: string;
  away: string;
  strength: number;
  space: "embedding" | "guidance";
  factor: number;
  prompt: string;
  window: Window;
}

export const draftOf = (word: string, window: Window, prompt: string): Draft => ({ kind: "silence", word, toward: "", away: "", strength: 1, space: "embedding", factor: 2, prompt, window });

// The value, in the JSON form of edits; null while something is missing.
export function asEdit(draft: Draft, steps: readonly number[]): Edit | null {
  const chosen = steps.slice(draft.window.from, draft.window.to + 1);
  if (chosen.length === 0) return null;
  const where = { steps: chosen.length === steps.length ? "all" : rangesText(chosen, Infinity) };
  const { word } = draft;
  switch (draft.kind) {
    case "silence":
      return word ? { edit: "silence", word, ...where } : null;
    case "reweight":
      return word && Number.isFinite(draft.factor) ? { edit: "reweight", word, factor: draft.factor, ...where } : null;
    case "reprompt":
      return draft.prompt.trim() ? { edit: "reprompt", prompt: draft.prompt.trim(), ...where } : null;
    case "steer":
      if (!draft.toward.trim()) return null;
      return { edit: "steer", toward: draft.toward.trim(), away: draft.away.trim() || null, word: word || null, strength: draft.strength, space: draft.space, ...where };
  }
}
