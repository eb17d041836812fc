// Whether the picture listens to a word where its map says so: the test beside the map.

import { useState } from "react";
import type { Faithfulness } from "../../api/types";
import { Button } from "../../parts/controls";
import { runJob } from "../../state/jobs";
import { useResource } from "../../state/resource";
import { filePath, wordsOf } from "../../state/run";
import { t } from "../../text";
import type { RunView } from "./view";

export function Faithful({ recording: { source, run, words }, question }: RunView) {
  const [tested, setTested] = useState(0);
  const [state, setState] = useState("");
  const found = useResource(`${run.id} faithfulness ${tested}`, () => source.json<Faithfulness>(filePath({ id: run.id, version: null }, "faithfulness.json")));
  const label = question.label;
  const known = found.value?.tests[label];
  const single = question.kind === "word" && wordsOf(words, label)[0]?.kind !== "special";
  const drawable = source.server !== null && !source.site.read_only;
  if (!single || (!known && !drawable)) return null;
  const test = async () => {
    setState(t.faithful.testing);
    try {
      const job = await runJob(source, { kind: "faithfulness", run: run.id, word: label });
      setState(job.error?.message ?? "");
      setTested(tested + 1);
    } catch (reason) {
      setState((reason as Error).message);
    }
  };
  return (
    <div className="stack" data-testid="faithful">
      <h3>{t.faithful.title}</h3>
      {known ? (
        <p>{known.sentence ?? known.verdict}</p>
      ) : (
        <div className="row">
          <Button disabled={state === t.faithful.testing} onClick={() => void test()}>{t.faithful.test}</Button>
          <span className="hint" role="status">{state || t.faithful.note}</span>
        </div>
      )}
    </div>
  );
}
