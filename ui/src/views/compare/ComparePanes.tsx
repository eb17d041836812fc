// The pictures of a comparison, in the way that is chosen.

import { useEffect, useMemo, useState, type CSSProperties } from "react";
import { Button, Check, Failed, Slider } from "../../parts/controls";
import type { Painting } from "../../maps/heat";
import { gradient } from "../../maps/colours";
import { number } from "../../maps/measure";
import { extent, seriesOf } from "../../maps/series";
import type { Question } from "../../state/question";
import { useResource } from "../../state/resource";
import { usePreviews, useShot } from "../../state/previews";
import { shownPicture, type Recording } from "../../state/run";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { HeatCanvas } from "../explore/HeatCanvas";
import { Picture } from "../explore/Picture";

interface Panes {
  first: Recording;
  second: Recording;
  control: Recording | null;
  question: Question;
  edited: Question;
  pair: string;
  id?: string; // of the section; two on one page have two
}

export function ComparePanes({ first, second, control, question, edited, pair, id = "view" }: Panes) {
  const { compare, colours, smooth, opacity } = useStore();
  const [withMap, setWithMap] = useState(false);
  const [meet, setMeet] = useState(50);
  const step = question.steps.length === 1 ? question.steps[0]! : null;
  const aspect = (first.run.width ?? 1) / (first.run.height ?? 1);
  // One range for both maps, so that they can be compared by eye.
  const range = useMemo<[number, number]>(() => {
    const maps = [question.heat, edited.heat].flatMap((heat) => (heat ? [heat.values] : []));
    return maps.length ? extent(maps) : [0, 1];
  }, [question.heat, edited.heat]);
  const painting = (heat: Question["heat"]): Painting | null =>
    withMap && heat ? { heat, range, colours, smooth, opacity: opacity / 100, look: "colour", outlines: [] } : null;
  const pane = (recording: Recording, caption: string, heat: Question["heat"]) => (
    <figure className="pane" key={caption}>
      <div className="frame">
        <Shown recording={recording} step={step} alt={`${caption}: ${recording.run.prompt ?? ""}`} muted={withMap && heat !== null} />
        <HeatCanvas painting={painting(heat)} />
      </div>
      <figcaption><span>{caption}</span><span>{step === null ? t.run.finished : t.run.predicted(step)}</span></figcaption>
    </figure>
  );
  return (
    <section className="mat stage" id={id} tabIndex={-1} aria-label={t.compare.mode} style={{ "--aspect": aspect } as CSSProperties}>
      <div className={`panes compare-panes ${compare}`}>
        {compare === "beside" && [pane(first, t.compare.before, question.heat), pane(second, t.compare.after, edited.heat), control && pane(control, t.compare.control, null)]}
        {compare === "slider" && (
          <figure className="pane">
            <div className="frame">
              <Shown recording={first} step={step} alt={t.compare.before} />
              <Shown recording={second} step={step} alt={t.compare.after} style={{ clipPath: `inset(0 0 0 ${meet}%)` }} />
              <span className="meet" style={{ left: `${meet}%` }} aria-hidden="true" />
            </div>
            <Slider label={t.compare.slider} value={meet} onChange={setMeet} />
            <figcaption><span>{t.compare.before}</span><span>{t.compare.after}</span></figcaption>
          </figure>
        )}
        {compare === "difference" && <Difference first={first} pair={pair} />}
        {compare === "flicker" && <Flicker recordings={[first, second]} step={step} />}
      </div>
      <div className="row" style={{ marginTop: 10 }}>
        {compare === "beside" && <Check label={t.compare.wordMap} checked={withMap} onChange={setWithMap} />}
        {compare === "beside" && withMap && <span className="hint">{question.unit}, {number(range[0])} – {number(range[1])}</span>}
        {compare === "beside" && control && <span className="hint">{t.compare.controlNote}</span>}
      </div>
    </section>
  );
}

// The finished picture, or the one predicted at the step shown where there is such.
function Shown({ recording, step, alt, muted, style }: { recording: Recording; step: number | null; alt: string; muted?: boolean; style?: CSSProperties }) {
  const there = step !== null && recording.run.timetable.some((each) => each.index === step && each.preview);
  const found = useShot(recording, usePreviews(recording, step !== null), there ? step : null);
  const address = found?.address ?? recording.source.url(shownPicture(recording.run));
  return <Picture shot={found?.shot ?? null} address={address} alt={alt} muted={muted} style={style} />;
}

function Difference({ first, pair }: { first: Recording; pair: string }) {
  const found = useResource(pair, async () => seriesOf(await first.source.tensors(`${pair}/change.safetensors`), { label: t.compare.change, steps: [0] }));
  const { colours } = useStore();
  const painting = useMemo<Painting | null>(() => {
    if (!found.value) return null;
    const { maps, width, height } = found.value;
    return { heat: { values: maps[0]!, width, height }, range: [0, Math.max(2.3, extent(maps)[1])], colours, smooth: false, opacity: 0.92, look: "colour", outlines: [] };
  }, [found.value, colours]);
  if (found.error) return <Failed error={found.error} />;
  return (
    <figure className="pane">
      <div className="frame">
        {first.run.has_image && <img src={first.source.url(shownPicture(first.run))} alt={t.compare.change} className="behind" />}
        <HeatCanvas painting={painting} />
      </div>
      {painting && (
        <div className="legend" role="img" aria-label={`${t.compare.legend}, 0 – ${number(painting.range[1])}`}>
          <div className="legend-ramp ramp" style={{ background: gradient(colours, "to right") }} />
          <div className="legend-ends"><span>0</span><span>{number(painting.range[1])}</span></div>
          <span>{t.compare.legend}</span>
        </div>
      )}
    </figure>
  );
}

// Three changes in two seconds: slow enough to harm no one. Held still where less motion is wished for.
function Flicker({ recordings, step }: { recordings: [Recording, Recording]; step: number | null }) {
  const calm = window.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
  const [going, setGoing] = useState(!calm);
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (!going) return;
    const timer = window.setInterval(() => setNow((before) => 1 - before), 650);
    return () => window.clearInterval(timer);
  }, [going]);
  return (
    <figure className="pane">
      <div className="frame">
        {recordings.map((recording, i) => <Shown key={i} recording={recording} step={step} alt={now === i ? (i ? t.compare.after : t.compare.before) : ""} style={{ visibility: now === i ? "visible" : "hidden" }} />)}
      </div>
      <figcaption>
        <span>{now ? t.compare.after : t.compare.before}</span>
        <span className="row">
          <Button onClick={() => { setGoing(false); setNow(1 - now); }}>{now ? t.compare.before : t.compare.after}</Button>
          <Button onClick={() => setGoing(!going)}>{going ? t.compare.flickerStop : t.compare.flickerGo}</Button>
        </span>
      </figcaption>
    </figure>
  );
}
