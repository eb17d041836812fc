// Whether the picture listens to a word where its map says so: the test beside the map.

import { Button } from "../../parts/controls";
import { wordsOf } from "../../state/run";
import { stopTests, testable, testWords, useTests } from "../../state/tests";
import { t } from "../../text";
import { isVerdict, VerdictMark } from "./Verdict";
import type { RunView } from "./view";

export function Faithful({ recording, question }: RunView) {
  const tests = useTests(recording, question.heat !== null);
  const { source, words } = recording;
  const { label } = question;
  const known = tests.found[label];
  const single = question.kind === "word" && wordsOf(words, label)[0]?.kind !== "special";
  if (!single || (!known && !testable(recording))) return null;
  const busy = tests.testing === label || tests.waiting.includes(label);
  return (
    <div className="stack" data-testid="faithful">
      <h3>{t.faithful.title}</h3>
      {known ? (
        <>
          {isVerdict(known.verdict) && <p className="verdict-said"><VerdictMark verdict={known.verdict} /><b>{t.faithful.verdicts[known.verdict]}</b> <span className="hint">{t.faithful.means[known.verdict]}</span></p>}
          <p>{known.sentence ?? known.verdict}</p>
        </>
      ) : (
        <div className="row">
          {busy ? <Button onClick={() => stopTests(source)}>{t.cancel}</Button> : <Button onClick={() => void testWords(recording, [label])}>{t.faithful.test}</Button>}
          <span className="hint" role="status">{busy ? t.faithful.testing : (tests.error ?? t.faithful.note)}</span>
        </div>
      )}
    </div>
  );
}
