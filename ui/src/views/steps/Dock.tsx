// The steps: transport, pictures, scrubber, strips and curves, all on one axis and in step with one another.

import { useCallback, useEffect, useMemo, type CSSProperties, type ReactNode } from "react";
import { resolveRanges } from "../../selection";
import { labelSeries } from "../../state/run";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { HUES, type RunView } from "../explore/view";
import { Curves, type Curve } from "./Curves";
import { Film } from "./Film";
import { Strip } from "./Strip";
import { useMoments } from "./moments";
import { Transport } from "./Transport";
import { goToShare, goToStep, singleStep } from "./walk";

export function Dock({ recording, selection, maps, question, children, free = false }: RunView & { children?: ReactNode; free?: boolean }) {
  const { steps, words, run } = recording;
  const also = useStore((state) => state.also);
  const { select, set } = useStore.getState();
  const now = singleStep(selection.steps, steps);
  const at = now === null ? -1 : steps.indexOf(now);
  const several = now === null && selection.steps !== "all" ? resolveRanges(selection.steps, (steps.at(-1) ?? -1) + 1) : null;
  const moments = useMoments(recording, question.series !== null);
  usePlay(steps);

  const labels = useMemo(() => {
    const content = words.words.filter((word) => word.kind === "content").map((word) => word.label);
    const chosen = [selection.word, ...also].filter((label): label is string => label !== null && !content.includes(label));
    return [...chosen, ...content];
  }, [words, selection.word, also]);

  const curves = useMemo(() => {
    const found: Curve[] = [];
    also.forEach((label, i) => {
      const series = labelSeries(words, maps, label);
      if (series) found.push({ label, values: series.mass, hue: HUES[i], primary: false });
    });
    if (question.series) found.push({ label: question.label, values: question.series.mass, hue: undefined, primary: true });
    return found;
  }, [also, maps, words, question.series, question.label]);

  const goTo = useCallback((share: number) => goToShare(steps, share), [steps]);
  if (steps.length === 0) return null;
  return (
    <section className={`dock${free ? " free" : ""}`} aria-label={t.steps.title}>
      <Transport steps={steps} now={now} timetable={run.timetable} />
      <div className="track">
        <Film recording={recording} now={now} onStep={goTo} ready={question.heat !== null} />
        <div className="lane">
          <span className="lane-name" aria-hidden="true">{now === null ? (several ? selection.steps : t.steps.all) : t.reading.step(now)}</span>
          <div className={`scrub${at < 0 ? " all" : ""}`} style={{ marginInline: `calc(${50 / steps.length}% - 9px)` }}>
            <input
              type="range"
              min={0}
              max={steps.length - 1}
              step={1}
              value={Math.max(0, at)}
              aria-label={t.steps.step}
              aria-valuetext={at < 0 ? t.run.when(several ?? steps, steps.length) : t.steps.of(now!, steps.length)}
              onChange={(event) => { set({ playing: false }); goToStep(steps[Number(event.target.value)]!); }}
            />
          </div>
        </div>
        {children}
        {/* Room for one more than the content words: a phrase or a small word that is chosen must not move the picture. */}
        <div className="lanes" style={{ "--lanes": Math.max(labels.length, words.words.filter((word) => word.kind === "content").length + 1) } as CSSProperties}>
        {labels.map((label) => {
          const series = labelSeries(words, maps, label);
          const beside = also.indexOf(label);
          const primary = label === selection.word;
          const peak = moments.get(label)?.peak;
          return (
            <div className="lane" key={label}>
              <button
                type="button"
                className={`lane-name${primary || beside >= 0 ? " now" : ""}`}
                style={beside >= 0 ? ({ "--hue": `var(${HUES[beside]})` } as CSSProperties) : undefined}
                onClick={() => select({ word: label, region: null, concept: null })}
              >
                {label}
              </button>
              <Strip label={label} series={series} peak={peak && !peak.flat ? peak.step : null} onStep={goTo} />
            </div>
          );
        })}
        </div>
        {/* There without a curve too: the picture must not move when something else is asked. */}
        <Curves curves={curves} count={steps.length} onStep={goTo} />
        {/* Its place is its own: a property of the track would have everything in it styled anew at each step. */}
        {at >= 0 && <div className="playhead" aria-hidden="true" style={{ left: `calc(var(--left) + (100% - var(--left)) * ${(at + 0.5) / steps.length})` }} />}
      </div>
    </section>
  );
}

// Walks the steps while it plays; slowly where less motion is wished for.
function usePlay(steps: readonly number[]): void {
  const playing = useStore((state) => state.playing);
  const speed = useStore((state) => state.speed);
  useEffect(() => {
    if (!playing || steps.length === 0) return;
    const calm = window.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
    const pause = 1000 / (calm ? Math.min(2, speed) : speed);
    const begin = singleStep(useStore.getState().selection.steps, steps);
    let at = begin === null || begin === steps.at(-1) ? -1 : steps.indexOf(begin);
    let last = performance.now() - pause;
    let frame = 0;
    const tick = (time: number) => {
      if (time - last >= pause) {
        last = Math.max(last + pause, time - pause);
        at++;
        if (at >= steps.length) {
          if (!useStore.getState().loop) return useStore.getState().set({ playing: false });
          at = 0;
        }
        goToStep(steps[at]!);
      }
      frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }, [playing, speed, steps]);
}
