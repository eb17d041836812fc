// Asking: a word that is not in the prompt, or a place of the picture.

import { useState, type FormEvent } from "react";
import { Button, Check, Segmented } from "../../parts/controls";
import { runJob } from "../../state/jobs";
import { useResource } from "../../state/resource";
import { firstWord } from "../../state/run";
import { useStore } from "../../state/store";
import { t } from "../../text";
import type { Tool } from "./Stage";
import type { RunView } from "./view";

export function AskPanel({ recording, selection, question, tool, onTool }: RunView & { tool: Tool; onTool: (tool: Tool) => void }) {
  const { run, source, words } = recording;
  const { direction, diffused, set, select } = useStore();
  return (
    <>
      <section className="section">
        <ConceptForm recording={recording} selection={selection} />
      </section>
      <section className="section">
        <h3>{t.ask.place}</h3>
        {!run.can.regions ? (
          <p className="hint">{t.ask.noRegions}</p>
        ) : !source.server && !run.can.region_files ? (
          <p className="hint">{t.serverOnly}</p>
        ) : (
          <div className="stack">
            <Segmented label={t.ask.place} value={tool} options={t.ask.tools} onChange={onTool} />
            <p className="hint">{t.ask.toolHints[tool]} {t.ask.keyboard}</p>
            <Segmented label={t.ask.direction} value={direction} options={t.ask.directions} onChange={(next) => set({ direction: next })} />
            <Check label={t.ask.diffused} checked={diffused} onChange={(next) => set({ diffused: next })} />
            <p className="hint">{t.ask.diffusedNote}</p>
          </div>
        )}
        {question.error && <p className="notice" role="alert">{t.failed(question.error.message)}</p>}
        {question.kind !== "word" && (
          <div className="stack">
            <p data-testid="asked">{question.label}</p>
            <Button onClick={() => { onTool("read"); select({ region: null, concept: null, word: firstWord(words)?.label ?? null }); }}>{t.ask.clear}</Button>
          </div>
        )}
      </section>
    </>
  );
}

function ConceptForm({ recording: { run, source }, selection }: Pick<RunView, "recording" | "selection">) {
  const [text, setText] = useState("");
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const known = useResource(source.server ? `${run.id} ${run.version} concepts ${selection.concept}` : null, () => source.json<{ concepts: string[] }>(`api/runs/${encodeURIComponent(run.id)}/concepts`));
  const { select } = useStore.getState();
  if (!source.server || !run.can.concepts) return <><h3>{t.ask.concept}</h3><p className="hint">{t.serverOnly}</p></>;
  const look = (concept: string) => select({ concept, word: null, region: null });
  const ask = async (event: FormEvent) => {
    event.preventDefault();
    const wanted = text.trim();
    if (!wanted || asking) return;
    if (known.value?.concepts.includes(wanted)) return look(wanted);
    setAsking(true);
    setError(null);
    try {
      const job = await runJob(source, { kind: "concept", run: run.id, text: wanted });
      if (job.state === "done") look(job.result?.concept ?? wanted);
      else setError(job.error?.message ?? job.state);
    } catch (reason) {
      setError(reason instanceof Error ? reason.message : String(reason));
    } finally {
      setAsking(false);
    }
  };
  return (
    <form className="stack" onSubmit={(event) => void ask(event)}>
      <div className="field">
        <label htmlFor="concept">{t.ask.concept}</label>
        <div className="row">
          <input id="concept" className="grow" value={text} placeholder={t.ask.conceptPlaceholder} maxLength={200} onChange={(event) => setText(event.target.value)} autoComplete="off" />
          <Button type="submit" kind="main" disabled={!text.trim() || asking}>{t.ask.look}</Button>
        </div>
      </div>
      <p className="hint" role="status">{asking ? t.ask.asking : t.ask.conceptNote}</p>
      {error && <p className="notice" role="alert">{t.failed(error)}</p>}
      {known.value && known.value.concepts.length > 0 && (
        <div className="row"><span className="hint">{t.ask.known}</span>{known.value.concepts.map((each) => <Button key={each} kind="quiet" aria-pressed={selection.concept === each} onClick={() => look(each)}>{each}</Button>)}</div>
      )}
    </form>
  );
}
