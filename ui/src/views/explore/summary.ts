// What a map shows, in one sentence for those who do not see it.

import { measure, number, percent, place } from "../../maps/measure";
import { labelMean, labelSeries } from "../../state/run";
import { mean } from "../../maps/series";
import { t } from "../../text";
import type { RunView } from "./view";

export function summaryOf(view: RunView): string {
  const { question, recording } = view;
  const { heat } = question;
  if (!heat) return t.run.nothing;
  const { peak, centroid, mean: mass } = measure(heat);
  const where = place((peak.x + 0.5) / heat.width, (peak.y + 0.5) / heat.height);
  const share = shareOf(view);
  return t.reading.summary(
    question.kind === "region" ? question.label : `“${question.label}”`,
    t.run.when(question.steps, recording.steps.length),
    number(peak.value), peak.x, peak.y, heat.width, heat.height, where,
    centroid && t.reading.centroidText(percent(centroid.x), percent(centroid.y)),
    number(mass),
    share === null ? null : percent(share),
  );
}

// A word's part of the attention mass that all words of the prompt have together at the steps shown.
export function shareOf({ recording: { words }, maps, question, selection }: RunView): number | null {
  if (question.kind !== "word" || selection.word?.startsWith("<")) return null;
  const massAt = (label: string): number | null => {
    const series = labelSeries(words, maps, label);
    if (!series) {
      const whole = question.steps.length > 1 ? labelMean(words, maps, label) : null;
      return whole && mean(whole.values);
    }
    const masses = question.steps.map((step) => series.mass[series.steps.indexOf(step)] ?? 0);
    return masses.reduce((a, b) => a + b, 0) / masses.length;
  };
  const own = massAt(question.label);
  let all = 0;
  for (const word of words.words) {
    if (word.kind === "special") continue;
    const mass = massAt(word.label);
    if (mass === null) return null;
    all += mass;
  }
  return own !== null && all > 0 ? own / all : null;
}
