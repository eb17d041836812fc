// How far a study is.

import type { StudySummary } from "../../api/types";
import { Progress } from "../../parts/controls";
import { t } from "../../text";

export function Amount({ study }: { study: Pick<StudySummary, "done" | "failed" | "total" | "state"> }) {
  const state = t.studies.states[study.state as keyof typeof t.studies.states] ?? study.state;
  return (
    <div className="stack amount">
      <Progress share={study.total ? study.done / study.total : 0} label={t.studies.progress(study.done, study.total)} />
      <p className="hint">{state} · {t.studies.progress(study.done, study.total)}{study.failed > 0 && ` · ${t.studies.failedRuns(study.failed)}`}</p>
    </div>
  );
}
