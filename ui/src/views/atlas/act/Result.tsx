// What a change made: the picture beside the base, and their difference; everything that was drawn from these layers.

import { Button, Failed, Segmented, Waiting } from "../../../parts/controls";
import type { Comparison } from "../../../api/types";
import { number, percent } from "../../../maps/measure";
import { linkTo } from "../../../state/address";
import { useQuestion } from "../../../state/question";
import { useResource } from "../../../state/resource";
import { filePath, useRecording, useWordMaps, type Recording } from "../../../state/run";
import { useStore } from "../../../state/store";
import { t } from "../../../text";
import { ComparePanes } from "../../compare/ComparePanes";
import type { AtlasViewProps } from "../view";
import { useAct, type Drawn } from "./store";
import { w } from "./text";
import { readWork } from "./work";

export function Result(view: AtlasViewProps) {
  const { recording } = view;
  const result = useAct((state) => state.work.result);
  const drawn = useAct((state) => state.drawn.find(({ run }) => run === state.work.result) ?? null);
  const second = useRecording(recording.source, result);
  if (!result) return null;
  return (
    <section className="section" aria-label={w.change.result} data-testid="result">
      <h2>{w.change.result}</h2>
      {second.error && <Failed error={second.error} />}
      {second.loading && !second.error && <Waiting />}
      {second.value?.run.id === result && <Beside key={result} view={view} second={second.value} control={drawn?.control ?? null} />}
    </section>
  );
}

function Beside({ view, second, control }: { view: AtlasViewProps; second: Recording; control: string | null }) {
  const { recording, selection, maps } = view;
  const { run, source } = recording;
  const { compare, set } = useStore();
  const look = useAct((state) => state.look);
  const word = { ...selection, region: null, concept: null };
  const others = useWordMaps(second, word, selection.word ? [selection.word] : []);
  const question = useQuestion(recording, maps, word, "to", false);
  const edited = useQuestion(second, others, word, "to", false);
  const beside = useRecording(source, control);
  const pair = `api/compare/${encodeURIComponent(run.id)}/${encodeURIComponent(second.run.id)}`;
  const measured = useResource(`${pair} ${second.run.version}`, () => source.json<Comparison>(`${pair}/comparison.json`));
  const third = control !== null && beside.value?.run.id === control ? beside.value : null;
  return (
    <div className="stack act-result">
      <Segmented label={t.compare.mode} value={compare} options={t.compare.modes} onChange={(next) => set({ compare: next })} />
      <ComparePanes first={recording} second={second} control={third} question={question} edited={edited} pair={pair} id="result-panes" />
      {second.run.edits?.map((says, i) => <p className="hint" key={i}>{says}</p>)}
      {measured.value && <p data-testid="change">{t.compare.changeNote(number(measured.value.change.mean), percent(measured.value.change.noticed))}</p>}
      {measured.error && <p className="hint">{t.compare.noPair(measured.error.message)}</p>}
      <div className="row">
        <a className="button" href={linkTo({ view: "compare", run: run.id, other: second.run.id, control })}>{w.change.compare}</a>
        <a className="button" href={linkTo({ view: "run", run: second.run.id })}>{w.change.openResult}</a>
        <Button kind="quiet" onClick={() => look({ result: null })}>{w.change.dropResult}</Button>
      </div>
    </div>
  );
}

export function History({ recording: { source, run } }: AtlasViewProps) {
  const { drawn, work, change, look } = useAct();
  const bring = (each: Drawn) => {
    const before = readWork(each.layers);
    if (before) change({ ...before, result: each.run }, "restore");
    look({ result: each.run });
  };
  return (
    <section className="section" aria-label={w.change.history}>
      <h2>{w.change.history}</h2>
      {drawn.length === 0 ? (
        <p className="hint">{w.change.historyNone}</p>
      ) : (
        <ol className="act-history" data-testid="history">
          {drawn.map((each) => (
            <li key={each.run}>
              <button type="button" aria-pressed={each.run === work.result} aria-label={w.change.bring(each.says)} title={each.says} onClick={() => bring(each)}>
                <img src={source.url(filePath({ id: each.run, version: null }, "thumbnail.webp"))} alt="" loading="lazy" style={{ aspectRatio: (run.width ?? 1) / (run.height ?? 1) }} />
                <span>{each.says}</span>
              </button>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
