// The form of one edit.

import { Button, Segmented, Slider } from "../../parts/controls";
import type { Recording } from "../../state/run";
import { t } from "../../text";
import { recommended } from "../steps/WindowLane";
import type { Draft } from "./draft";

export function EditForm({ draft, recording, onChange }: { draft: Draft; recording: Recording; onChange: (draft: Draft) => void }) {
  const { words, steps } = recording;
  const change = (part: Partial<Draft>) => onChange({ ...draft, ...part });
  const plain = words.words.filter((word) => word.kind !== "special");
  const { window } = draft;
  const bound = (name: "from" | "to", label: string) => (
    <div className="field">
      <label htmlFor={`edit-${name}`}>{label}</label>
      <select id={`edit-${name}`} value={window[name]} onChange={(event) => {
        const next = { ...window, [name]: Number(event.target.value) };
        change({ window: next.from <= next.to ? next : { from: next[name], to: next[name] } });
      }}>
        {steps.map((step, i) => <option key={step} value={i}>{step}</option>)}
      </select>
    </div>
  );
  return (
    <div className="stack">
      <Segmented label={t.edit.kind} value={draft.kind} options={t.edit.kinds} onChange={(kind) => change({ kind })} />
      <p className="hint">{t.edit.notes[draft.kind]}</p>
      {draft.kind !== "reprompt" && (
        <div className="field">
          <label htmlFor="edit-word">{t.edit.word}</label>
          <select id="edit-word" value={draft.word} onChange={(event) => change({ word: event.target.value })}>
            {draft.kind === "steer" && <option value="">{t.edit.whole}</option>}
            {plain.map((word) => <option key={word.label}>{word.label}</option>)}
          </select>
        </div>
      )}
      {draft.kind === "steer" && (
        <>
          <div className="fields">
            <div className="field"><label htmlFor="edit-toward">{t.edit.toward}</label><input id="edit-toward" value={draft.toward} onChange={(event) => change({ toward: event.target.value })} /></div>
            <div className="field"><label htmlFor="edit-away">{t.edit.away}</label><input id="edit-away" value={draft.away} placeholder={t.edit.awayNote} onChange={(event) => change({ away: event.target.value })} /></div>
          </div>
          <div className="pair"><span>{t.edit.strength} {draft.strength.toFixed(1)}</span><Slider label={t.edit.strength} value={draft.strength} min={0} max={4} step={0.1} onChange={(strength) => change({ strength })} /></div>
          <div className="pair"><span>{t.edit.space}</span><Segmented label={t.edit.space} value={draft.space} options={t.edit.spaces} onChange={(space) => change({ space })} /></div>
        </>
      )}
      {draft.kind === "reweight" && (
        <div className="pair"><span>{t.edit.factor} {draft.factor.toFixed(1)}</span><Slider label={t.edit.factor} value={draft.factor} min={0} max={6} step={0.1} onChange={(factor) => change({ factor })} /></div>
      )}
      {draft.kind === "reprompt" && (
        <div className="field"><label htmlFor="edit-prompt">{t.edit.other}</label><textarea id="edit-prompt" value={draft.prompt} onChange={(event) => change({ prompt: event.target.value })} /></div>
      )}
      <fieldset className="stack">
        <legend className="label hint">{t.edit.window}. {t.edit.windowHint}</legend>
        <div className="fields">{bound("from", t.edit.from)}{bound("to", t.edit.to)}</div>
        <div className="row">
          <Button onClick={() => change({ window: recommended(steps.length) })}>{t.edit.recommended}</Button>
          <Button onClick={() => change({ window: { from: 0, to: steps.length - 1 } })}>{t.edit.throughout}</Button>
        </div>
      </fieldset>
    </div>
  );
}
