// The numbers of the map shown, the value under the pointer, the words ranked there, and how maps are shown.

import { useEffect, useMemo, useState } from "react";
import { measure, number, percent, place as placeName } from "../../maps/measure";
import { patchAt } from "../../maps/heat2d";
import { heatAt } from "../../state/run";
import { useStore } from "../../state/store";
import { selectionText, rangesText } from "../../selection";
import { t } from "../../text";
import { MassTable } from "../steps/MassTable";
import { useMoments } from "../steps/moments";
import { Faithful } from "./Faithful";
import { Elsewhere } from "./Elsewhere";
import { shareOf } from "./summary";
import type { RunView } from "./view";
import { ViewControls } from "./ViewControls";

export function ReadingPanel(view: RunView) {
  const { question, recording } = view;
  const { heat } = question;
  const found = useMemo(() => heat && measure(heat), [heat]);
  const share = useMemo(() => shareOf(view), [view.maps, question.heat, view.selection.word]);
  const moments = useMoments(recording, question.series !== null).get(question.label);
  return (
    <>
      <section className="section" aria-labelledby="reading-word">
        <div>
          <h2 className="reading-word" id="reading-word">{question.label}</h2>
          <p className="hint">{t.run.when(question.steps, recording.steps.length)}{question.aggregation && ` · ${question.aggregation}`}</p>
        </div>
        {question.error && <p className="notice" role="alert">{t.failed(question.error.message)}</p>}
        {found && heat && (
          <dl className="numbers" data-testid="numbers">
            <div><dt>{t.reading.mass}</dt><dd data-testid="mass">{number(found.mean)}<small>{t.reading.massNote}</small></dd></div>
            {share !== null && <div><dt>{t.reading.share}</dt><dd>{percent(share)}<small>{t.reading.shareNote}</small></dd></div>}
            <div><dt>{t.reading.peak}</dt><dd>{number(found.peak.value)}<small>{t.reading.peakNote(found.peak.x, found.peak.y, placeName((found.peak.x + 0.5) / heat.width, (found.peak.y + 0.5) / heat.height))}</small></dd></div>
            {found.centroid && <div><dt>{t.reading.centroid}</dt><dd>{t.reading.across(percent(found.centroid.x), percent(found.centroid.y))}<small>{t.reading.centroidNote}</small></dd></div>}
            {(["peak", "emergence_image", "emergence_attention"] as const).map((name) => {
              const moment = moments?.[name];
              if (!moment) return null;
              return (
                <div key={name}>
                  <dt>{t.reading.moments[name]}</dt>
                  <dd>{moment.step === null ? t.reading.never : moment.step}<small>{moment.flat ? t.reading.flat : (moment.against ?? "")}</small></dd>
                </div>
              );
            })}
          </dl>
        )}
      </section>
      <section className="section unruled">
        <Faithful {...view} />
      </section>
      <section className="section">
        <PointerValue {...view} />
        <Ranking {...view} />
      </section>
      <section className="section" aria-label={t.view.title}>
        <ViewControls {...view} />
      </section>
      <section className="section">
        <Elsewhere recording={recording} selection={view.selection} />
      </section>
      <section className="section">
        <MassTable recording={recording} maps={view.maps} />
      </section>
    </>
  );
}

// The value of the patch under the pointer. Where the file was rounded, resting there asks for the value as computed.
function PointerValue({ question, recording, selection, maps }: RunView) {
  const place = useStore((state) => state.place);
  const { heat } = question;
  const cell = place && heat ? { x: Math.floor(place.x * heat.width), y: Math.floor(place.y * heat.height) } : null;
  const value = place && heat ? patchAt(heat, place) : null;
  const precise = usePrecise({ question, recording, selection, maps }, cell);
  return (
    <p className="pointer" data-testid="pointer" aria-live="polite">
      {value === null || !cell || !heat ? (
        t.reading.pointer
      ) : (
        <>
          <b>{number(precise ?? value, precise !== null || question.exact ? 6 : 4)}</b>
          {question.unit} · {t.reading.at(cell.x, cell.y)}
          <br />
          {t.reading.timesMean((value / Math.max(1e-30, measure(heat).mean)).toFixed(2))} · {precise !== null || question.exact ? t.reading.exact : recording.source.server ? t.reading.rounded : t.reading.roundedHere}
        </>
      )}
    </p>
  );
}

function usePrecise({ question, recording, selection }: RunView, cell: { x: number; y: number } | null): number | null {
  const [known, setKnown] = useState<{ key: string; values: number[][] } | null>(null);
  const server = recording.source.server;
  const steps = rangesText(question.steps, recording.steps.length);
  const asked = selectionText({ ...selection, steps });
  const key = `${recording.run.id} ${asked}`;
  const wanted = cell !== null && server !== null && !question.exact && question.kind === "word" && known?.key !== key;
  useEffect(() => {
    if (!wanted) return;
    const timer = window.setTimeout(() => {
      const path = `api/runs/${encodeURIComponent(recording.run.id)}/map?selection=${encodeURIComponent(asked)}&format=json`;
      recording.source.json<{ values: number[][] }>(path).then(({ values }) => setKnown({ key, values }), () => undefined);
    }, 250);
    return () => window.clearTimeout(timer);
  }, [wanted, key, cell?.x, cell?.y]);
  return cell && known?.key === key ? (known.values[cell.y]?.[cell.x] ?? null) : null;
}

// Which words are looked at, here or over the whole picture.
function Ranking({ recording, maps, question, selection }: RunView) {
  const place = useStore((state) => state.place);
  const rows = useMemo(
    () => recording.words.words.filter((word) => word.kind !== "special").flatMap((word) => {
      const heat = heatAt(recording.words, maps, word.label, question.steps, recording.steps.length);
      return heat ? [{ word, heat, mean: measure(heat).mean }] : [];
    }),
    [recording, maps, question.steps],
  );
  const ranked = rows.map(({ word, heat, mean }) => ({ word, value: place ? patchAt(heat, place) : mean })).sort((a, b) => b.value - a.value).slice(0, 8);
  const most = Math.max(1e-12, ...ranked.map(({ value }) => value));
  if (ranked.length === 0) return null;
  return (
    <div className="stack">
      <h3>{place ? t.reading.ranking : t.reading.rankingMean}</h3>
      <ol className="ranking" data-testid="ranking">
        {ranked.map(({ word, value }) => (
          <li key={word.label} className={word.label === selection.word ? "now" : ""}>
            <span>{word.label}</span>
            <span className="bar" aria-hidden="true"><span style={{ transform: `scaleX(${value / most})` }} /></span>
            <span>{number(value)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
