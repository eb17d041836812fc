// Studies: what is asked of many pictures, how far it is, and the report.

import { useEffect, useState } from "react";
import type { StudyList, StudySummary } from "../../api/types";
import { Failed, Progress, Waiting } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { useResource } from "../../state/resource";
import { useLibrary } from "../../state/source";
import { t } from "../../text";

export function Studies() {
  const { source } = useLibrary();
  const beat = useBeat(5000, source.server !== null);
  const found = useResource(`studies ${beat}`, async () => (await source.json<StudyList>("api/studies/index.json")).studies);
  return (
    <div className="page narrow">
      <div><h1>{t.titles.studies}</h1><p className="hint">{t.studies.intro}</p></div>
      {found.error && <Failed error={found.error} />}
      {!found.value && !found.error && <Waiting />}
      {found.value?.length === 0 && <p className="hint">{t.studies.none}</p>}
      <ul className="studies">
        {found.value?.map((study) => (
          <li key={study.name}>
            <a href={linkTo({ view: "study", study: study.name })}>{study.name}</a>
            {study.title && study.title !== study.name && <p>{study.title}</p>}
            <Amount study={study} />
          </li>
        ))}
      </ul>
    </div>
  );
}

export function Study({ name }: { name: string }) {
  const { source } = useLibrary();
  const beat = useBeat(3000, source.server !== null);
  const line = useResource(`${name} ${beat}`, async () => (await source.json<StudyList>("api/studies/index.json")).studies.find((study) => study.name === name) ?? null);
  const report = useResource(`${name} ${line.value?.state ?? ""}`, () => source.text(`api/studies/${encodeURIComponent(name)}/report.html`));
  if (line.error) return <div className="page narrow"><h1>{name}</h1><Failed error={line.error} /></div>;
  return (
    <div className="page">
      <div>
        <p className="hint"><a href={linkTo({ view: "studies" })}>{t.titles.studies}</a></p>
        <h1>{line.value?.title ?? name}</h1>
      </div>
      {line.value ? <Amount study={line.value} /> : line.loading && <Waiting />}
      {report.error && <p className="hint">{t.studies.noReport}</p>}
      {/* Sandboxed: a report is a file that anyone may have written. */}
      {report.value && <iframe className="study-report" title={t.studies.report} sandbox="" srcDoc={report.value} />}
    </div>
  );
}

function Amount({ study }: { study: StudySummary }) {
  return (
    <div className="stack">
      <Progress share={study.total ? study.done / study.total : 0} label={t.studies.progress(study.done, study.total)} />
      <p className="hint">{study.state} · {t.studies.progress(study.done, study.total)}{study.failed > 0 && ` · ${t.studies.failedRuns(study.failed)}`}</p>
    </div>
  );
}

// Counts up every so often, while the page is looked at.
function useBeat(pause: number, on: boolean): number {
  const [beat, setBeat] = useState(0);
  useEffect(() => {
    if (!on) return;
    const timer = window.setInterval(() => document.visibilityState === "visible" && setBeat((before) => before + 1), pause);
    return () => window.clearInterval(timer);
  }, [pause, on]);
  return beat;
}
