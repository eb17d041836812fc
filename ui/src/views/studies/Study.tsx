// One study: its question, how far it is by condition, its report, and every picture it drew.

import { useState } from "react";
import type { StudyFacts, StudyRun, StudyRuns } from "../../api/types";
import { Button, Failed, Segmented, Waiting } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { useResource } from "../../state/resource";
import { useLibrary } from "../../state/source";
import { number } from "../../maps/measure";
import { t } from "../../text";
import { Amount } from "./Amount";
import { useStudies } from "./useStudies";

const PART = 48;

export function Study({ name }: { name: string }) {
  const { source } = useLibrary();
  const all = useStudies(source);
  const line = all.value?.find((study) => study.name === name) ?? null;
  const base = `api/studies/${encodeURIComponent(name)}`;
  const amount = line ? `${line.done} ${line.failed}` : "";
  const facts = useResource(line && `${name} ${amount}`, () => source.json<StudyFacts>(`${base}/study.json`));
  const [shown, setShown] = useState<"report" | "runs">("report");
  const there = line?.report ?? false;
  const view = there ? shown : "runs";
  if (all.error) return <div className="page narrow"><h1>{name}</h1><Failed error={all.error} /></div>;
  if (all.value && !line) return <div className="page narrow"><h1>{t.notHere.title}</h1><p className="hint">{t.studies.notHere(name)}</p><p><a className="button" href={linkTo({ view: "studies" })}>{t.titles.studies}</a></p></div>;
  return (
    <div className="page study">
      <div>
        <p className="hint"><a href={linkTo({ view: "studies" })}>{t.titles.studies}</a> / <span className="mono">{name}</span></p>
        <h1>{line?.title || name}</h1>
      </div>
      {!line && <Waiting />}
      {line && <Amount study={line} />}
      {facts.value && <Facts facts={facts.value} />}
      {line && (
        <div className="row spread">
          <Segmented label={t.studies.show} value={view} options={t.studies.parts} disabled={there ? [] : ["report"]} onChange={setShown} />
          {there ? <a className="button" href={source.url(`${base}/report.html`)} target="_blank" rel="noreferrer">{t.studies.alone}</a> : <span className="hint">{t.studies.noReport(name)}</span>}
        </div>
      )}
      {/* A page of its own that reaches nothing of this one: a report is a file that anyone may have written. */}
      {line && view === "report" && <iframe className="study-report" title={t.studies.report} sandbox="allow-scripts" src={source.url(`${base}/report.html`)} />}
      {line && view === "runs" && <Runs base={base} amount={amount} />}
    </div>
  );
}

function Facts({ facts: { plan, model, status } }: { facts: StudyFacts }) {
  const conditions = Object.entries(status.by_condition);
  return (
    <>
      <dl className="numbers">
        <div><dt>{t.studies.model}</dt><dd>{model?.id ?? plan.model?.id ?? "–"}</dd></div>
        <div><dt>{t.studies.seeds}</dt><dd>{plan.seeds?.length ?? "–"}</dd></div>
        <div><dt>{t.studies.conditions}</dt><dd>{conditions.length}</dd></div>
        <div><dt>{t.studies.seconds}</dt><dd>{status.seconds === null ? "–" : `${number(status.seconds)} s`}</dd></div>
      </dl>
      {conditions.length > 1 && (
        <div className="table-scroll" tabIndex={0} role="region" aria-label={t.studies.table}>
          <table>
            <thead><tr>{Object.values(t.studies.columns).map((column) => <th scope="col" key={column}>{column}</th>)}</tr></thead>
            <tbody>{conditions.map(([condition, [done, failed, of]]) => <tr key={condition}><th scope="row">{condition}</th><td>{done}</td><td>{failed}</td><td>{of}</td></tr>)}</tbody>
          </table>
        </div>
      )}
    </>
  );
}

function Runs({ base, amount }: { base: string; amount: string }) {
  const { source } = useLibrary();
  const [most, setMost] = useState(PART);
  const found = useResource(`${base} ${amount} ${most}`, async () => {
    const parts = await Promise.all(Array.from({ length: Math.ceil(most / PART) }, (_, i) => source.json<StudyRuns>(`${base}/runs.json?offset=${i * PART}&limit=${PART}`)));
    return { total: parts[0]!.total, runs: parts.flatMap(({ runs }) => runs) };
  });
  if (found.error) return <Failed error={found.error} />;
  if (!found.value) return <Waiting />;
  const { runs, total } = found.value;
  if (runs.length === 0) return <p className="hint">{t.studies.noRuns}</p>;
  const prompts = [...new Set(runs.map(({ prompt }) => prompt))];
  return (
    <div className="stack study-runs" data-testid="study-runs">
      {prompts.map((prompt) => (
        <section key={prompt} aria-label={prompt}>
          <h2>{prompt}</h2>
          <ul>{runs.filter((run) => run.prompt === prompt).map((run) => <li key={run.unit}><Drawn run={run} /></li>)}</ul>
        </section>
      ))}
      <div className="row">
        <span className="hint">{t.studies.shown(runs.length, total)}</span>
        {runs.length < total && <Button onClick={() => setMost(most + PART)}>{t.studies.more}</Button>}
      </div>
    </div>
  );
}

function Drawn({ run }: { run: StudyRun }) {
  return (
    <figure className={run.ok ? "" : "failed"} title={run.error ?? undefined}>
      {run.picture ? <img src={run.picture} alt={t.studies.picture(run.condition, run.seed)} loading="lazy" /> : <span className="hint">{run.ok ? t.studies.noPicture : (run.error ?? t.studies.failed)}</span>}
      <figcaption>{run.condition}<br />{t.gallery.seed(run.seed)}</figcaption>
    </figure>
  );
}
