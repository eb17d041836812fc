// Keys that work everywhere in a view of a run: digits choose words, arrows walk the steps, space plays.

import { useEffect } from "react";
import type { Recording } from "../../state/run";
import { useStore } from "../../state/store";
import { stepTo } from "../steps/walk";

export function useKeys(recording: Recording): void {
  useEffect(() => {
    const plain = recording.words.words.filter((word) => word.kind !== "special");
    const press = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.altKey || event.ctrlKey || event.metaKey || target.closest("input:not([type=range]):not([type=checkbox]), textarea, select")) return;
      const { set, select, playing } = useStore.getState();
      const word = /^[1-9]$/.test(event.key) ? plain[Number(event.key) - 1] : undefined;
      if (word) select({ word: word.label, region: null, concept: null });
      else if (event.key === "0") select({ steps: "all" });
      else if (target.closest("button, a, [role=tab], [role=slider], [role=radio], [role=application], summary, input")) return;
      else if (event.key === " ") set({ playing: !playing });
      else if (event.key === "ArrowRight") stepTo(recording.steps, 1);
      else if (event.key === "ArrowLeft") stepTo(recording.steps, -1);
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [recording]);
}
