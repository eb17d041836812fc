// What every part of the view of a run is given, and what several of them work out from it.

import type { Question } from "../../state/question";
import { labelSeries, type Recording, type WordMaps } from "../../state/run";
import type { RangeMode } from "../../state/store";
import type { Selection } from "../../selection";
import { extent } from "../../maps/series";

export interface RunView {
  recording: Recording;
  selection: Selection; // what is shown: the address's, or a sentence's while it is pointed at
  maps: WordMaps;
  question: Question;
}

// The range of colours, and what it is called: never silently per map.
export function colourRange({ recording, maps, question }: RunView, mode: RangeMode): { range: [number, number]; mode: RangeMode } {
  const own = question.heat ? extent([question.heat.values]) : ([0, 1] as [number, number]);
  if (mode === "map" || !question.series) return { range: own, mode: "map" };
  const ends = [known(question.series.maps), own];
  if (mode === "shared") {
    for (const word of recording.words.words) {
      const series = word.kind === "special" ? null : labelSeries(recording.words, maps, word.label);
      if (series) ends.push(known(series.maps));
    }
  }
  return { range: [Math.min(...ends.map(([low]) => low)), Math.max(...ends.map(([, high]) => high))], mode };
}

const extents = new WeakMap<Float32Array, [number, number]>();

// Searched through once for each series: its first map stands for it.
function known(maps: Float32Array[]): [number, number] {
  const first = maps[0];
  if (!first) return [0, 1];
  let found = extents.get(first);
  if (!found) {
    found = extent(maps);
    extents.set(first, found);
  }
  return found;
}

// Hues of words shown beside the selected one, by their place among them.
export const HUES = ["--word-1", "--word-2", "--word-3", "--word-4"] as const;
export const RGB = [[115, 188, 207], [224, 145, 166], [156, 195, 130], [178, 165, 226]] as const;
