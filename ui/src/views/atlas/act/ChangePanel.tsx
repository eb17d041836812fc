// What is done to the layers' heads and patches; drawing it; several strengths or seeds at once.

import { useEffect, useMemo, useState, type CSSProperties } from "react";
import type { CheckedEdits } from "../../../api/types";
import { Button, Check, Failed, Progress, Segmented, Slider, Waiting } from "../../../parts/controls";
import { number } from "../../../maps/measure";
import { ended } from "../../../state/jobs";
import { useResource } from "../../../state/resource";
import { useLibrary } from "../../../state/source";
import { t } from "../../../text";
import { LiveDrawing } from "../../record/LiveDrawing";
import type { AtlasViewProps } from "../view";
import { History, Result } from "./Result";
import { busy, startDrawing, startStrip, stopJob, useRunning } from "./running";
import { useAct } from "./store";
import { w } from "./text";
import { actsAt, colourOf, current, editsOf, groundOf, headsOf, missing, withLayer, workText, type HeadEdit, type Kind, type Layer } from "./work";

const MOST_EDITS = 64;

// The edits of all layers that are shown, in their order; or why there are none.
function useEdits(view: AtlasViewProps): { edits: HeadEdit[]; why: string | null } {
  const work = useAct((state) => state.work);
  return useMemo(() => {
    const ground = groundOf(view);
    const shown = work.layers.filter((layer) => layer.visible);
    const wrong = shown.map((layer) => ({ layer, what: missing(layer, view.cells) })).find(({ what }) => what !== null);
    if (shown.length === 0) return { edits: [], why: w.change.nothing };
    if (wrong) return { edits: [], why: w.change.notWhole(wrong.layer.name, w.change.missing[wrong.what!]) };
    const edits = shown.flatMap((layer) => editsOf(layer, ground));
    return edits.length > MOST_EDITS ? { edits: [], why: w.change.tooMany(edits.length, MOST_EDITS) } : { edits, why: null };
  }, [work, view.recording, view.cells]);
}

export function ChangePanel(view: AtlasViewProps) {
  const { source } = view.recording;
  if (!source.server || source.site.read_only) return <p className="notice">{source.server ? w.change.readOnly : t.serverOnly}</p>;
  return (
    <>
      <Result {...view} />
      <section className="section" aria-label={w.change.what}><Act {...view} /></section>
      <section className="section"><Draw {...view} /></section>
      <section className="section" aria-label={w.change.strip}><Strips {...view} /></section>
      <History {...view} />
    </>
  );
}

function Act({ recording, cells }: AtlasViewProps) {
  const { work, change, look } = useAct();
  const { runs } = useLibrary();
  const { words, run, steps } = recording;
  const layer = current(work);
  const put = (part: Partial<Layer>) => change(withLayer(work, part), "act");
  const plain = words.words.filter((word) => word.kind !== "special");
  // A donor is a plain run: one that was made with edits is refused.
  const donors = runs.filter((each) => each.id !== run.id && each.model === run.model && each.steps === run.steps && each.state === "complete" && !each.parent && !each.edits?.length);
  const left = layer.heads.length - headsOf(layer, cells).filter(({ id }) => layer.heads.includes(id)).length;
  const window = layer.window ?? { from: 0, to: steps.length - 1 };
  const bound = (name: "from" | "to", label: string) => (
    <div className="field">
      <label htmlFor={`act-${name}`}>{label}</label>
      <select id={`act-${name}`} value={window[name]} onChange={(event) => {
        const at = Number(event.target.value);
        const next = { ...window, [name]: at };
        const whole = next.from <= next.to ? next : { from: at, to: at };
        change(withLayer(work, { window: whole.from === 0 && whole.to === steps.length - 1 ? null : whole }), "steps");
      }}>
        {steps.map((step, i) => <option key={step} value={i}>{step}</option>)}
      </select>
    </div>
  );
  return (
    <div className="stack">
      <h2>{w.change.what}</h2>
      {work.layers.length > 1 && (
        <div className="row" role="group" aria-label={w.select.layers}>
          {work.layers.map((each, i) => (
            <Button key={i} aria-pressed={i === work.now} className="layer-chip" style={{ "--layer": colourOf(i) } as CSSProperties} onClick={() => look({ now: i })}>{each.name}</Button>
          ))}
        </div>
      )}
      <Segmented label={w.change.what} value={layer.kind} options={w.change.kinds} onChange={(kind: Kind) => put({ kind })} />
      <p className="hint">{w.change.notes[layer.kind]}</p>
      {layer.kind === "scale" && (
        <div className="pair"><span>{w.change.factor} {layer.factor.toFixed(1)}</span><Slider label={w.change.factor} value={layer.factor} min={-2} max={4} step={0.1} onChange={(factor) => put({ factor: Math.round(factor * 10) / 10 })} /></div>
      )}
      {layer.kind === "encode" && (
        <div className="field"><label htmlFor="act-text">{w.change.text}</label><input id="act-text" value={layer.text} placeholder={w.change.placeholder} onChange={(event) => put({ text: event.target.value })} /></div>
      )}
      {layer.kind === "patch" && (
        <div className="field">
          <label htmlFor="act-donor">{w.change.donor}</label>
          <select id="act-donor" value={layer.donor} onChange={(event) => put({ donor: event.target.value })}>
            <option value="">{w.change.noDonor}</option>
            {donors.map((each) => <option key={each.id} value={each.id}>{each.prompt}, {t.gallery.seed(each.seed ?? null)}</option>)}
          </select>
          {donors.length === 0 && <span className="hint">{w.change.donorNone}</span>}
        </div>
      )}
      {layer.kind === "silence" && (
        <div className="field">
          <label htmlFor="act-word">{w.change.word}</label>
          <select id="act-word" value={layer.word} onChange={(event) => put({ word: event.target.value })}>
            <option value="">{w.change.noWord}</option>
            {plain.map((word) => <option key={word.label}>{word.label}</option>)}
          </select>
        </div>
      )}
      {(layer.kind === "encode" || layer.kind === "patch") && (
        <div className="pair"><span>{w.change.strength} {layer.strength.toFixed(1)}</span><Slider label={w.change.strength} value={layer.strength} min={0} max={2} step={0.1} onChange={(strength) => put({ strength: Math.round(strength * 10) / 10 })} /></div>
      )}
      {left > 0 && cells.some((cell) => !actsAt(layer.kind, cell)) && <p className="hint">{w.change.leftOut(left)}</p>}
      <fieldset className="stack">
        <legend className="label hint">{w.change.steps}. {w.change.lanes}</legend>
        <div className="fields">{bound("from", w.change.from)}{bound("to", w.change.to)}</div>
        <div className="row"><Button disabled={layer.window === null} onClick={() => change(withLayer(work, { window: null }), "steps")}>{w.change.throughout}</Button></div>
      </fieldset>
    </div>
  );
}

function Draw(view: AtlasViewProps) {
  const { recording } = view;
  const { run, source } = recording;
  const { reload } = useLibrary();
  const { edits, why } = useEdits(view);
  const { draw, starting, error } = useRunning();
  const work = useAct((state) => state.work);
  const [control, setControl] = useState(false);
  const says = useSays(run.id, view, edits);
  const going = starting === "draw" || (draw !== null && !ended(draw));
  useEffect(() => {
    if (draw && ended(draw)) void reload();
  }, [draw?.state]);
  return (
    <div className="stack">
      {why ? <p className="hint" data-testid="says">{why}</p> : says}
      <Check label={w.change.control} checked={control} onChange={setControl} />
      <div className="row">
        <Button kind="main" data-testid="draw" disabled={why !== null || going} onClick={() => void startDrawing(source, run.id, edits, control, workText({ ...work, result: null }), work.layers.filter(({ visible }) => visible).map(told).join(" · "))}>{w.change.run}</Button>
      </div>
      {error && <Failed error={error} />}
      {draw && draw.state !== "done" && <LiveDrawing source={source} job={draw} aspect={(run.width ?? 1) / (run.height ?? 1)} />}
    </div>
  );
}

// A layer in a line, for the list of what was drawn.
export function told(layer: Layer): string {
  const what = { scale: `× ${layer.factor}`, encode: `“${layer.text}”`, patch: "", silence: `“${layer.word}”` }[layer.kind];
  const steps = layer.window ? `, ${w.change.stepsOf(layer.window.from, layer.window.to)}` : "";
  return `${layer.name}: ${w.change.kinds[layer.kind].toLowerCase()} ${what}${steps}`;
}

// What the server understood, a line an edit.
function useSays(run: string, { recording: { source } }: AtlasViewProps, edits: HeadEdit[]) {
  const text = JSON.stringify(edits);
  const [asked, setAsked] = useState(text);
  useEffect(() => {
    const timer = window.setTimeout(() => setAsked(text), 300);
    return () => window.clearTimeout(timer);
  }, [text]);
  const found = useResource(asked === "[]" ? null : `${run} ${asked}`, () => source.server!.send<CheckedEdits>("POST", "api/edits/check", { run, edits: JSON.parse(asked) as HeadEdit[] }));
  if (found.error) return <p className="notice" role="status">{found.error.message}</p>;
  return (
    <div role="status" data-testid="says">
      {found.value ? found.value.edits.slice(0, 6).map((each, i) => <p className="hint" key={i}>{each.says}</p>) : <Waiting />}
    </div>
  );
}

function Strips(view: AtlasViewProps) {
  const { run, source } = view.recording;
  const { edits, why } = useEdits(view);
  const strip = useRunning((state) => state.strip);
  const starting = useRunning((state) => state.starting === "strip");
  const [kind, setKind] = useState<"strengths" | "seeds">("strengths");
  const [texts, setTexts] = useState({ strengths: "0, 0.25, 0.5, 0.75, 1", seeds: [1, 2, 3, 4].map((by) => (run.seed ?? 0) + by).join(", ") });
  const values = texts[kind].split(",").map((each) => (each.trim() === "" ? NaN : Number(each)));
  const fine = values.length >= 2 && values.length <= 16 && values.every((value) => Number.isFinite(value) && (kind === "strengths" || (Number.isInteger(value) && value >= 0)));
  const going = busy(strip);
  return (
    <div className="stack">
      <h2>{w.change.strip}</h2>
      <Segmented label={w.change.stripKind} value={kind} options={w.change.stripKinds} onChange={setKind} />
      <div className="field">
        <label htmlFor="strip-values">{w.change[kind]}</label>
        <input id="strip-values" value={texts[kind]} aria-invalid={!fine} onChange={(event) => setTexts({ ...texts, [kind]: event.target.value })} />
        {!fine && <span className="notice">{w.change.badNumbers}</span>}
      </div>
      <p className="hint">{w.change.stripNotes[kind]}</p>
      {why && <p className="hint">{why}</p>}
      <div className="row">
        <Button disabled={!fine || why !== null || going || starting} onClick={() => void startStrip(source, run.id, edits, kind, values)}>{w.change.runStrip}</Button>
        {going && <Button kind="quiet" onClick={() => void stopJob(source, strip!.id)}>{w.change.cancel}</Button>}
      </div>
      {strip && (
        <div className="stack" data-testid="strip" role="group" aria-label={w.change.strip}>
          {going && <Progress share={strip.of ? strip.done / strip.of : 0} label={t.job.progress} />}
          {going && <p className="hint" role="status">{strip.state === "waiting" ? t.job.starting : w.change.stripDone(strip.done, strip.of)}</p>}
          {strip.error && <Failed error={new Error(strip.error.message)} />}
          <ol className="act-strip">
            {strip.variations.map((each) => (
              <li key={each.index}>
                {strip.kind === "seeds" && <img src={source.url(each.base)} alt={w.change.unedited} />}
                <img src={source.url(each.picture)} alt={each.says} />
                <b>{each.strength !== null ? w.change.strengthOf(number(each.strength, 2)) : w.change.seedOf(each.seed ?? 0)}</b>
                <span className="hint">{w.change.deltaE(number(each.change.mean))}</span>
              </li>
            ))}
          </ol>
        </div>
      )}
    </div>
  );
}
