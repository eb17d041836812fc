// The prompt, set as text, whose words are the chips. Everything in it is data: it is only ever text content.

import type { CSSProperties, MouseEvent, ReactNode } from "react";
import type { Word } from "../../api/types";
import { wordsOf } from "../../state/run";
import { useStore } from "../../state/store";
import { stopTests, testable, testWords, useTests } from "../../state/tests";
import { t } from "../../text";
import { isVerdict, VerdictKey, VerdictMark } from "./Verdict";
import { HUES, type RunView } from "./view";

export function Prompt({ recording, selection, maps, question }: RunView) {
  const { run, words, source } = recording;
  const also = useStore((state) => state.also);
  const { select, set } = useStore.getState();
  const chosen = selection.word === null ? [] : wordsOf(words, selection.word);
  const massOf = (word: Word): number => {
    const series = maps.series.get(word.label);
    if (!series) return 0;
    const places = question.steps.map((step) => series.steps.indexOf(step)).filter((place) => place >= 0);
    return places.reduce((sum, place) => sum + series.mass[place]!, 0) / Math.max(1, places.length);
  };
  const plain = words.words.filter((word) => word.kind !== "special");
  const most = Math.max(1e-12, ...plain.map(massOf));
  const tests = useTests(recording, question.heat !== null);
  const untested = [...plain].sort((a, b) => (a.kind === b.kind ? 0 : a.kind === "content" ? -1 : 1)).filter((word) => word.tokens.length > 0 && !tests.found[word.label]).map((word) => word.label);

  const choose = (word: Word, event: MouseEvent) => {
    if (event.shiftKey && !chosen.includes(word)) {
      set({ also: also.includes(word.label) ? also.filter((label) => label !== word.label) : [...also, word.label].slice(-HUES.length) });
    } else {
      select({ word: word.label, region: null, concept: null });
      set({ also: also.filter((label) => label !== word.label) });
    }
  };
  const chip = (word: Word, digit: number | null) => {
    const primary = chosen.includes(word) && question.kind === "word";
    const beside = also.indexOf(word.label);
    const style = { "--mass": Math.min(1, massOf(word) / most), ...(beside >= 0 ? { "--hue": `var(${HUES[beside]})` } : {}) } as CSSProperties;
    const verdict = tests.found[word.label]?.verdict;
    const told = isVerdict(verdict) ? verdict : null;
    const repeated = word.label.includes("#") ? word.label.split("#").at(-1) : null;
    return (
      <button
        key={word.label}
        type="button"
        className={`chip${primary ? " primary" : ""}${word.kind === "special" ? " special" : ""}`}
        style={style}
        aria-pressed={primary || beside >= 0}
        title={told ? t.faithful.chip(told) : undefined}
        aria-keyshortcuts={digit === null ? undefined : String(digit)}
        onClick={(event) => choose(word, event)}
      >
        {digit !== null && <kbd aria-hidden="true">{digit}</kbd>}
        {word.kind === "special" ? t.run.special[word.label === "<start>" ? "start" : "end"] : word.text}
        {repeated && <sub>{repeated}</sub>}
        {told && <VerdictMark verdict={told} />}
        {tests.testing === word.label && <span className="spinner" aria-hidden="true" />}
        <span className="chip-mass" aria-hidden="true" />
      </button>
    );
  };

  // The text between the words stays where it stands, and what did not fit is struck through.
  const pieces: ReactNode[] = [];
  let at = 0;
  plain.forEach((word, i) => {
    const between = words.prompt.slice(at, word.start ?? at).trim();
    if (between) pieces.push(<span className="between" key={`b${i}`}>{between}</span>);
    pieces.push(chip(word, i < 9 ? i + 1 : null));
    at = word.end ?? at;
  });
  const rest = words.prompt.slice(at).trim();
  if (rest) pieces.push(<span className={words.cut ? "cut" : "between"} key="rest" title={words.cut ? t.run.cut : undefined}>{rest}</span>);

  const neighbours = phraseOf(recording.words.words, [...chosen.map((word) => word.label), ...also]);
  return (
    <section className="prompt" aria-label={t.run.words}>
      <h1 className="unseen">{words.prompt}</h1>
      <div className="prompt-words" role="group" aria-label={t.run.words}>
        {pieces}
        {words.words.filter((word) => word.kind === "special").map((word) => chip(word, null))}
      </div>
      <div className="prompt-foot hint">
        <span>{run.can.words ? t.run.wordsHint : t.run.noWords}</span>
        {also.length > 0 && neighbours && (
          <button type="button" className="button quiet" onClick={() => { select({ word: neighbours }); set({ also: [] }); }}>{t.run.join}</button>
        )}
        {also.length > 0 && <button type="button" className="button quiet" onClick={() => set({ also: [] })}>{t.run.alone}</button>}
        <VerdictKey tests={tests.found} />
        {testable(recording) && run.can.words && run.state === "complete" && (tests.testing ? (
          <>
            <span role="status">{t.faithful.now(tests.testing, tests.waiting.length)}</span>
            <button type="button" className="button quiet" onClick={() => stopTests(source)}>{t.faithful.stop}</button>
          </>
        ) : untested.length > 0 && (
          <button type="button" className="button quiet" title={t.faithful.note} onClick={() => void testWords(recording, untested)}>{t.faithful.all(untested.length, plain.length)}</button>
        ))}
        {tests.error && <span role="alert">{t.failed(tests.error)}</span>}
      </div>
      {run.state !== "complete" && run.state !== "running" && <p className="notice">{t.run.stopped(run.steps_recorded, run.steps)}</p>}
    </section>
  );
}

// The label of a phrase that the words make, where they stand side by side in the prompt.
function phraseOf(words: readonly Word[], labels: readonly string[]): string | null {
  const plain = words.filter((word) => word.kind !== "special");
  const places = labels.map((label) => plain.findIndex((word) => word.label === label)).sort((a, b) => a - b);
  if (places.length < 2 || places[0]! < 0 || places.some((place, i) => i > 0 && place !== places[i - 1]! + 1)) return null;
  return places.map((place) => plain[place]!.label).join(" ");
}
