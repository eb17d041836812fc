// Editing a recording: what to change, in which steps; then watching it drawn again.

import { useEffect, useMemo, useState } from "react";
import type { CheckedEdits, Edit as EditValue } from "../../api/types";
import { Button, Check, Failed, Waiting } from "../../parts/controls";
import { ended, startJob, useJob } from "../../state/jobs";
import { useQuestion } from "../../state/question";
import { useResource } from "../../state/resource";
import { firstWord, shownPicture, useRecording, useWordMaps, type Recording } from "../../state/run";
import { useLibrary, useSourceOf } from "../../state/source";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { Missing } from "../explore/Explore";
import { LiveDrawing } from "../record/LiveDrawing";
import { Dock } from "../steps/Dock";
import { recommended, WindowLane } from "../steps/WindowLane";
import { EditForm } from "./EditForm";
import { asEdit, draftOf, type Draft } from "./draft";

export function Edit({ id }: { id: string }) {
  const recording = useRecording(useSourceOf(id), id);
  if (recording.error) return <Missing error={recording.error} />;
  if (!recording.value || recording.value.run.id !== id) return <div className="page"><Waiting /></div>;
  return <Editor recording={recording.value} />;
}

function Editor({ recording }: { recording: Recording }) {
  const { run, source, words, steps } = recording;
  const { reload } = useLibrary();
  const go = useStore((state) => state.go);
  const asked = useStore((state) => state.selection);
  const selection = useMemo(() => (asked.word ? { ...asked, region: null, concept: null } : { ...asked, word: firstWord(words)?.label ?? null, region: null, concept: null }), [asked, words]);
  const maps = useWordMaps(recording, selection, selection.word ? [selection.word] : []);
  const question = useQuestion(recording, maps, selection, "to", false);
  const [drafts, setDrafts] = useState<Draft[]>(() => [draftOf(selection.word ?? "", recommended(steps.length), run.prompt ?? "")]);
  const [current, setCurrent] = useState(0);
  const [control, setControl] = useState(true);
  const [job, setJob] = useState<string | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const live = useJob(source, job);
  const draft = drafts[Math.min(current, drafts.length - 1)]!;
  const edits = drafts.map((each) => asEdit(each, steps));
  const whole = edits.every((each) => each !== null) ? (edits as EditValue[]) : null;
  const change = (next: Draft) => setDrafts(drafts.map((each, i) => (i === current ? next : each)));
  const busy = live !== null && !ended(live);
  const done = live?.state === "done" ? live.result : null;

  useEffect(() => {
    if (!live || !ended(live)) return;
    void reload();
    const other = done?.runs?.[0];
    if (!other) return;
    const timer = window.setTimeout(() => go({ view: "compare", run: run.id, other, control: done?.control ?? null }, { selection: { ...selection, steps: "all" } }), 600);
    return () => window.clearTimeout(timer);
  }, [live?.state]);

  if (!source.server || source.site.read_only) return <div className="page narrow"><h1>{t.titles.edit}</h1><p className="notice">{source.server ? t.record.readOnly : t.serverOnly}</p></div>;
  const draw = async () => {
    setError(null);
    if (!whole) return;
    try {
      setJob((await startJob(source, { kind: "edit", run: run.id, edits: whole, control })).id);
    } catch (reason) {
      setError(reason as Error);
    }
  };
  return (
    <div>
      <div className="page edit">
        <div className="page-head"><div><h1>{t.titles.edit}: {run.prompt}</h1><p className="hint">{t.edit.intro}</p></div></div>
        <div className="edit-columns">
          <section className="stack" aria-label={t.edit.list}>
            {drafts.length > 1 && (
              <ol className="row" aria-label={t.edit.list}>
                {drafts.map((each, i) => <li key={i}><Button aria-pressed={i === current} onClick={() => setCurrent(i)}>{i + 1}. {t.edit.kinds[each.kind]} {each.kind === "reprompt" ? "" : each.word}</Button></li>)}
              </ol>
            )}
            <EditForm draft={draft} recording={recording} onChange={change} />
            {whole && <Says run={run.id} edits={whole} />}
            <div className="row">
              <Button onClick={() => { setDrafts([...drafts, draftOf(selection.word ?? "", recommended(steps.length), run.prompt ?? "")]); setCurrent(drafts.length); }}>{t.edit.add}</Button>
              {drafts.length > 1 && <Button kind="quiet" onClick={() => { setDrafts(drafts.filter((_, i) => i !== current)); setCurrent(0); }}>{t.edit.remove}</Button>}
            </div>
            <Check label={t.edit.control} checked={control} onChange={setControl} />
            <div className="row"><Button kind="main" disabled={!whole || busy} onClick={() => void draw()}>{t.edit.run}</Button></div>
            {error && <Failed error={error} />}
          </section>
          <figure className="pane">
            {run.has_image && <img className="frame" src={source.url(shownPicture(run))} alt={run.prompt ?? ""} />}
            <figcaption>{t.compare.before}</figcaption>
          </figure>
          <section aria-label={t.job.progress}>
            {live ? <LiveDrawing source={source} job={live} aspect={(run.width ?? 1) / (run.height ?? 1)} /> : <div className="frame live-picture empty-picture" aria-hidden="true" />}
            {done?.runs?.[0] && <p style={{ marginTop: 12 }}><Button onClick={() => go({ view: "compare", run: run.id, other: done.runs![0]!, control: done.control ?? null })}>{t.job.compare}</Button></p>}
          </section>
        </div>
      </div>
      <Dock recording={recording} selection={selection} maps={maps} question={question} free>
        <WindowLane window={draft.window} count={steps.length} onChange={(window) => change({ ...draft, window })} />
      </Dock>
    </div>
  );
}

// What the server understood, in one line an edit.
function Says({ run, edits }: { run: string; edits: EditValue[] }) {
  const { source } = useLibrary();
  const text = JSON.stringify(edits);
  const [asked, setAsked] = useState(text);
  useEffect(() => {
    const timer = window.setTimeout(() => setAsked(text), 250);
    return () => window.clearTimeout(timer);
  }, [text]);
  const found = useResource(`${run} ${asked}`, () =>
    source.server!.send<CheckedEdits>("POST", "api/edits/check", { run, edits: JSON.parse(asked) as EditValue[] }),
  );
  if (found.error) return <p className="notice" role="status">{found.error.message}</p>;
  return (
    <div role="status" data-testid="says">
      {found.value?.edits.map((each, i) => <p className="hint" key={i}>{each.says}</p>)}
    </div>
  );
}
