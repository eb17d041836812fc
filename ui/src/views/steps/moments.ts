// Peak, stabilisation and emergence of each word, from the run's timeline.

import { useMemo } from "react";
import type { Moment, TimelineFacts } from "../../api/types";
import { useResource } from "../../state/resource";
import { filePath, type Recording } from "../../state/run";

export type Moments = Record<string, Moment | null | undefined>;

// Asked for when the maps are there: what is seen first comes first.
export function useMoments({ source, run }: Recording, ready: boolean): ReadonlyMap<string, Moments> {
  const timeline = useResource(ready ? `${run.id} ${run.version} timeline` : null, () => source.json<TimelineFacts>(filePath(run, "timeline.json")));
  return useMemo(() => {
    const { value } = timeline;
    if (!value?.available) return new Map<string, Moments>();
    return new Map([...value.words, ...value.controls].map((word) => [word.word, word.moments]));
  }, [timeline.value]);
}
