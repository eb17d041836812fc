// Two pictures of one noise: side by side, by a slider, as their difference, or flickering; one scrubber for both.

import { useMemo } from "react";
import { Segmented, Waiting } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { useQuestion } from "../../state/question";
import { useResource } from "../../state/resource";
import { firstWord, labelSeries, useRecording, useWordMaps, wordsOf, type Recording } from "../../state/run";
import { useSourceOf } from "../../state/source";
import { useStore } from "../../state/store";
import { number, percent } from "../../maps/measure";
import { t } from "../../text";
import type { Comparison, Explanation } from "../../api/types";
import { Missing } from "../explore/Explore";
import { useKeys } from "../explore/useKeys";
import { Sentences } from "../explore/Sentences";
import { EditTree } from "../gallery/EditTree";
import { Curves } from "../steps/Curves";
import { Dock } from "../steps/Dock";
import { goToShare } from "../steps/walk";
import { ComparePanes } from "./ComparePanes";

export function Compare({ a, b, control }: { a: string; b: string; control: string | null }) {
  const source = useSourceOf(a);
  const first = useRecording(source, a);
  const second = useRecording(source, b);
  const third = useRecording(source, control);
  const error = first.error ?? second.error;
  if (error) return <Missing error={error} />;
  if (first.value?.run.id !== a || second.value?.run.id !== b) return <div className="page"><Waiting /></div>;
  return <Compared first={first.value} second={second.value} control={control !== null && third.value?.run.id === control ? third.value : null} />;
}

function Compared({ first, second, control }: { first: Recording; second: Recording; control: Recording | null }) {
  const asked = useStore((state) => state.selection);
  const { compare, set, select } = useStore();
  const selection = useMemo(() => {
    const there = asked.word !== null && wordsOf(first.words, asked.word).length > 0;
    return { ...asked, region: null, concept: null, word: there ? asked.word : (firstWord(first.words)?.label ?? null) };
  }, [asked, first]);
  const wanted = selection.word ? [selection.word] : [];
  const maps = useWordMaps(first, selection, wanted);
  const others = useWordMaps(second, selection, wanted);
  const question = useQuestion(first, maps, selection, "to", false);
  const edited = useQuestion(second, others, selection, "to", false);
  useKeys(first);
  const { source, run } = first;
  const pair = `api/compare/${encodeURIComponent(run.id)}/${encodeURIComponent(second.run.id)}`;
  // Costly to make: what is seen first comes first.
  const ready = question.series !== null && edited.series !== null;
  const measured = useResource(ready ? `${pair} ${run.version} ${second.run.version}` : null, () => source.json<Comparison>(`${pair}/comparison.json`));
  const told = useResource(measured.value ? `${pair} told` : null, () => source.json<Explanation>(`${pair}/explanation.json`));

  const difference = useMemo(() => {
    const here = labelSeries(first.words, maps, selection.word ?? "");
    const there = labelSeries(second.words, others, selection.word ?? "");
    return here && there ? Float32Array.from(here.mass, (value, i) => (there.mass[i] ?? value) - value) : null;
  }, [maps, others, selection.word, first, second]);

  const plain = first.words.words.filter((word) => word.kind !== "special");
  return (
    <div className="compare">
      <div className="page">
        <div className="page-head">
          <div>
            <h1>{run.prompt}</h1>
            <p className="card-edit">{second.run.edits?.length ? t.gallery.edits(second.run.edits) : second.run.prompt}</p>
          </div>
          <div className="row">
            <a className="button" href={linkTo({ view: "run", run: second.run.id })}>{t.job.open}</a>
            {source.server && !source.site.read_only && <a className="button" href={linkTo({ view: "edit", run: run.id })}>{t.compare.makeEdit}</a>}
          </div>
        </div>
        <div className="row spread">
          <Segmented label={t.compare.mode} value={compare} options={t.compare.modes} onChange={(next) => set({ compare: next })} />
          <label className="row hint">
            {t.edit.word}
            <select className="plain" value={selection.word ?? ""} onChange={(event) => select({ word: event.target.value })}>
              {plain.map((word) => <option key={word.label}>{word.label}</option>)}
            </select>
          </label>
        </div>
      </div>
      <ComparePanes first={first} second={second} control={control} question={question} edited={edited} pair={pair} />
      <Dock recording={first} selection={selection} maps={maps} question={question} free>
        {difference && <Curves curves={[{ label: selection.word ?? "", values: difference, hue: undefined, primary: true }]} count={first.steps.length} onStep={(share) => goToShare(first.steps, share)} title={t.compare.timeline} signed />}
      </Dock>
      <div className="page compare-below">
        <div className="stack compare-measured">
        <section className="stack" aria-label={t.compare.words}>
          <h2>{t.compare.words}</h2>
          {measured.loading && <Waiting />}
          {measured.error && <p className="hint">{t.compare.noPair(measured.error.message)}</p>}
          {measured.value && (
            <>
              <p data-testid="change">{t.compare.changeNote(number(measured.value.change.mean), percent(measured.value.change.noticed))}</p>
              <div className="table-scroll" tabIndex={0} role="region" aria-label={t.compare.table}>
                <table>
                  <thead><tr>{Object.values(t.compare.columns).map((name) => <th scope="col" key={name}>{name}</th>)}</tr></thead>
                  <tbody>
                    {measured.value.words.map((word) => (
                      <tr key={word.word}>
                        <th scope="row">{word.word}</th>
                        <td>{word.acs === null ? "–" : percent(word.acs)}</td>
                        <td>{number(word.sf_iou)}</td>
                        <td>{number(word.chance)}</td>
                        <td>{word.random_word ? `${word.random_word} ${number(word.random_sf_iou)}` : "–"}</td>
                        <td>{number(word.map_difference)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </>
          )}
        </section>
        <EditTree run={second.run.id} />
        </div>
        <div className="stack">
          {told.value?.available && <Sentences explanation={told.value} />}
        </div>
      </div>
    </div>
  );
}
