// The studies of the server, looked at again while the page is looked at: they may be drawn right now.

import { useEffect, useState } from "react";
import type { Source } from "../../api/source";
import type { StudyList } from "../../api/types";
import { useResource } from "../../state/resource";

const PAUSE = 4000;

export function useStudies(source: Source) {
  const beat = useBeat(PAUSE, source.server !== null);
  return useResource(`studies ${beat}`, async () => (await source.json<StudyList>("api/studies/index.json")).studies);
}

// Counts up every so often, while the page is looked at.
export function useBeat(pause: number, on: boolean): number {
  const [beat, setBeat] = useState(0);
  useEffect(() => {
    if (!on) return;
    const timer = window.setInterval(() => document.visibilityState === "visible" && setBeat((before) => before + 1), pause);
    return () => window.clearInterval(timer);
  }, [pause, on]);
  return beat;
}
