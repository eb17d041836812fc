// A picture while it is drawn: the predicted picture, a map for each word, how far it is; and how to stop it.

import { useEffect, useMemo, useState } from "react";
import type { Source } from "../../api/source";
import { Button, Failed, Progress } from "../../parts/controls";
import { paintFlat } from "../../maps/heat2d";
import { extent, seriesOf, type Series } from "../../maps/series";
import { cancelJob, ended, type LiveJob } from "../../state/jobs";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { HeatCanvas } from "../explore/HeatCanvas";

export function stateText(job: LiveJob): string {
  if (job.state === "done") return t.job.done;
  if (job.state === "failed") return t.job.failed(job.error?.message ?? "");
  if (job.state === "cancelled") return t.job.cancelled;
  if (job.cancelling) return t.job.cancelling;
  if (job.step !== null) return t.job.drawing(job.step + 1, job.of ?? 0);
  if (job.loading) return t.job.loadingModel(job.loading);
  return job.state === "queued" ? t.job.queued(job.position) : t.job.starting;
}

export function LiveDrawing({ source, job, aspect }: { source: Source; job: LiveJob; aspect: number }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const live = useLiveMaps(source, job);
  const colours = useStore((state) => state.colours);
  const words = job.opened?.words ?? [];
  const shown = chosen !== null && words.includes(chosen) ? words.indexOf(chosen) : -1;
  const share = job.state === "done" ? 1 : job.step === null || !job.of ? 0 : (job.step + 1) / job.of;
  const lately = job.seconds.slice(-5);
  const left = job.of && job.step !== null && lately.length ? (lately.reduce((a, b) => a + b, 0) / lately.length) * (job.of - job.step - 1) : null;
  const range = useMemo(() => (live ? extent(live.maps) : ([0, 1] as [number, number])), [live]);
  return (
    <div className="live" data-testid="live">
      <div className="frame live-picture" style={{ aspectRatio: aspect }}>
        {job.preview && <img src={source.url(job.preview)} alt={t.job.preview(job.step ?? 0)} className={shown >= 0 ? "behind" : undefined} />}
        {live && shown >= 0 && live.maps[shown] && (
          <HeatCanvas painting={{ heat: { values: live.maps[shown], width: live.width, height: live.height }, range, colours, smooth: true, opacity: 0.7, look: "colour", outlines: [] }} />
        )}
      </div>
      <div className="stack">
        <Progress share={share} label={t.job.progress} />
        <div className="row spread">
          <p role="status" aria-live="polite" data-testid="job-state">{stateText(job)}{left !== null && left > 1 && !ended(job) && <span className="hint"> · {t.job.left(left.toFixed(0))}</span>}</p>
          {!ended(job) && <Button onClick={() => void cancelJob(source, job.id).catch(() => undefined)} disabled={job.cancelling}>{t.cancel}</Button>}
        </div>
        {job.state === "failed" && job.error && <Failed error={new Error(job.error.message)} />}
        {job.notes.map((note, i) => <p className="hint" key={i}>{note}</p>)}
        {live && (
          <ul className="live-words">
            {words.map((word, i) => live.maps[i] && !word.startsWith("<") && (
              <li key={word}>
                <button type="button" aria-pressed={chosen === word} aria-label={t.job.mapOf(word)} onClick={() => setChosen(chosen === word ? null : word)}>
                  <Thumb values={live.maps[i]} width={live.width} height={live.height} range={range} />
                  <span>{word}</span>
                </button>
              </li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}

function Thumb(props: { values: Float32Array; width: number; height: number; range: [number, number] }) {
  const colours = useStore((state) => state.colours);
  const { values, width, height, range } = props;
  const [canvas, setCanvas] = useState<HTMLCanvasElement | null>(null);
  useEffect(() => {
    if (canvas) paintFlat(canvas, { heat: { values, width, height }, range, colours, smooth: false, opacity: 1, look: "colour", outlines: [] });
  }, [canvas, values, width, height, range, colours]);
  return <canvas ref={setCanvas} aria-hidden="true" />;
}

// The word maps of the last step drawn. A step that is over before its maps came is let go.
function useLiveMaps(source: Source, job: LiveJob): Series | null {
  const [maps, setMaps] = useState<Series | null>(null);
  useEffect(() => {
    if (!job.maps) return;
    let wanted = true;
    source.tensors(job.maps).then((file) => wanted && setMaps(seriesOf(file, { label: "", steps: [] })), () => undefined);
    return () => {
      wanted = false;
    };
  }, [source, job.maps]);
  return maps;
}
