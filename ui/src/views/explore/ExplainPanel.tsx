// The explanation of a run: what was drawn, what stands out, and what to try where something is missing.

import { Failed, Waiting } from "../../parts/controls";
import { useResource } from "../../state/resource";
import { filePath } from "../../state/run";
import { t } from "../../text";
import type { Explanation } from "../../api/types";
import { Sentences } from "./Sentences";
import type { RunView } from "./view";

export function ExplainPanel({ recording: { source, run } }: RunView) {
  // It grows by tests, so that its address carries no version.
  const found = useResource(`${run.id} explanation`, () => source.json<Explanation>(filePath({ id: run.id, version: null }, "explanation.json")));
  if (found.error) return <Failed error={found.error} />;
  if (!found.value) return <Waiting what={t.explain.making} />;
  if (!found.value.available) return <p className="hint">{found.value.why ?? t.explain.none}</p>;
  return <Sentences explanation={found.value} />;
}
