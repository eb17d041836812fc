// All jobs of the server: what is drawn now, what waits for its turn, what is over; in a drawer that every view opens.

import { Dialog } from "radix-ui";
import { useState } from "react";
import type { Source } from "../../api/source";
import type { Job } from "../../api/types";
import { Button, Failed, Progress } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { cancelJob, useJob, type LiveJob } from "../../state/jobs";
import { atWork, isOver, useJobList } from "../../state/jobList";
import { useLibrary } from "../../state/source";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { stateText } from "../record/LiveDrawing";
import { saidOf, standing } from "./said";

export function JobsButton() {
  const { source } = useLibrary();
  const { jobs, error, open } = useJobList();
  const busy = atWork(jobs);
  if (!source.server) return null;
  return (
    <Dialog.Root open={open} onOpenChange={(next) => useJobList.setState({ open: next })}>
      <Dialog.Trigger className="button jobs-button" aria-label={busy ? t.jobs.busy(busy) : t.jobs.title}>
        {t.jobs.title}
        {busy > 0 && <span className="badge" data-testid="jobs-busy">{busy}</span>}
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Overlay className="shade" />
        <Dialog.Content className="drawer" aria-describedby={undefined} data-testid="jobs">
          <div className="row spread">
            <Dialog.Title>{t.jobs.title}</Dialog.Title>
            <Dialog.Close className="button quiet" aria-label={t.close}>
              <svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3.5 2.4 8 6.9l4.5-4.5 1.1 1.1L9.1 8l4.5 4.5-1.1 1.1L8 9.1l-4.5 4.5-1.1-1.1L6.9 8 2.4 3.5z" /></svg>
            </Dialog.Close>
          </div>
          {error && <Failed error={error} />}
          <JobGroups source={source} jobs={jobs} />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

export function JobGroups({ source, jobs }: { source: Source; jobs: readonly Job[] }) {
  const groups: [string, Job[]][] = [
    [t.jobs.now, jobs.filter((job) => job.state === "running")],
    [t.jobs.waiting, jobs.filter((job) => job.state === "queued").sort((a, b) => (a.position ?? 0) - (b.position ?? 0))],
    [t.jobs.over, jobs.filter(isOver)],
  ];
  if (jobs.length === 0) return <p className="hint">{t.jobs.none}</p>;
  return groups.map(([title, found]) => found.length > 0 && (
    <section className="stack" key={title} aria-label={title}>
      <h3>{title}</h3>
      <ul className="jobs">{found.map((job) => <li key={job.id}><Row source={source} job={job} /></li>)}</ul>
    </section>
  ));
}

function Row({ source, job }: { source: Source; job: Job }) {
  const { runs } = useLibrary();
  const [stopping, setStopping] = useState(false);
  const run = runs.find((each) => each.id === job.request.run);
  const cancel = () => {
    setStopping(true);
    cancelJob(source, job.id).catch(() => setStopping(false));
  };
  return (
    <article className={`job ${job.state}`} data-testid="job">
      <div className="job-text">
        <p>{saidOf(job)}</p>
        {run?.prompt && <p className="hint">{t.jobs.of(run.prompt)}</p>}
        {job.state === "running" ? <Running source={source} job={job} /> : <p className="hint">{standing(job)}</p>}
        {job.state === "failed" && job.error && <p className="notice">{job.error.message}</p>}
        {job.warnings.map((warning, i) => <p className="hint" key={i}>{warning}</p>)}
      </div>
      <div className="row">
        {!isOver(job) && <Button onClick={cancel} disabled={stopping} aria-label={t.jobs.cancel(saidOf(job))}>{t.cancel}</Button>}
        <Ways job={job} />
      </div>
    </article>
  );
}

// What the job draws, as far as it is.
function Running({ source, job }: { source: Source; job: Job }) {
  const live = useJob(source, job.id);
  const { progress } = job;
  return (
    <>
      <div className="job-live">
        {live?.preview && <img src={source.url(live.preview)} alt={t.job.preview(live.step ?? 0)} />}
        <div className="stack grow">
          <Progress share={progress ? progress.step / Math.max(1, progress.of) : 0} label={t.jobs.progress(saidOf(job))} />
          <p className="hint" role="status">{told(live, job)}</p>
        </div>
      </div>
    </>
  );
}

function told(live: LiveJob | null, job: Job): string {
  if (live && live.step === null && !live.cancelling && job.progress) return t.jobs.work(job.progress.step, job.progress.of);
  const left = job.progress?.seconds_left;
  return [live ? stateText(live) : t.job.starting, left ? t.job.left(left.toFixed(0)) : ""].filter(Boolean).join(" · ");
}

// Where its result is seen.
function Ways({ job }: { job: Job }) {
  const close = () => useJobList.setState({ open: false });
  const { set, go } = useStore.getState();
  const result = (job.result ?? {}) as { runs?: string[]; control?: string | null; concept?: string; study?: string };
  const run = typeof job.request.run === "string" ? job.request.run : null;
  const made = result.runs?.[0];
  if (job.request.kind === "record" && !isOver(job)) return <Button onClick={() => { close(); set({ watched: job.id }); go({ view: "record" }); }}>{t.jobs.watch}</Button>;
  if (made && job.request.kind === "edit" && run) return <a className="button" onClick={close} href={linkTo({ view: "compare", run, other: made, control: result.control ?? null })}>{t.facts.compare}</a>;
  if (made) return <a className="button" onClick={close} href={linkTo({ view: "run", run: made })}>{t.jobs.open}</a>;
  if (result.study) return <a className="button" onClick={close} href={linkTo({ view: "study", study: result.study })}>{t.jobs.open}</a>;
  if (job.state === "done" && run) return <a className="button" onClick={close} href={linkTo({ view: "run", run })}>{t.jobs.open}</a>;
  return null;
}
