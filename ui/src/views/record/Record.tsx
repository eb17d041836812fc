// A new recording: the form, and the picture while it is drawn.

import { useEffect, useState, type FormEvent } from "react";
import type { CheckedPrompt, Job, JobRequest, Model, Sizes } from "../../api/types";
import { SourceError, type Source } from "../../api/source";
import { Button, Failed } from "../../parts/controls";
import { bytes } from "../../maps/measure";
import { startJob, useJob, ended } from "../../state/jobs";
import { isOver } from "../../state/jobList";
import { useResource } from "../../state/resource";
import { useLibrary } from "../../state/source";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { LiveDrawing } from "./LiveDrawing";

type Drawing = Omit<Extract<JobRequest, { kind: "record" }>, "kind">;

interface Draft {
  prompt: string;
  negative_prompt: string;
  model: string;
  seed: string;
  steps: string;
  guidance_scale: string;
  width: string;
  height: string;
  keep: string;
}

const EMPTY: Draft = { prompt: "", negative_prompt: "", model: "", seed: "0", steps: "", guidance_scale: "", width: "", height: "", keep: "auto" };

export function Record() {
  const { source, reload } = useLibrary();
  const models = useResource("models", async () => (await source.json<{ models: Model[] }>("api/models.json")).models);
  const [draft, setDraft] = useState<Draft>({ ...EMPTY, seed: String(Math.floor(Math.random() * 1000)) });
  const job = useWatched(source);
  const setJob = (watched: string) => useStore.setState({ watched });
  const [error, setError] = useState<Error | null>(null);
  const live = useJob(source, job);
  const go = useStore((state) => state.go);
  const model = models.value?.find((each) => each.id === draft.model) ?? models.value?.find((each) => each.default) ?? models.value?.[0];
  const run = live?.state === "done" ? (live.result?.runs?.[0] ?? null) : null;

  useEffect(() => {
    if (!live || !ended(live)) return;
    void reload();
    if (!run) return;
    const timer = window.setTimeout(() => {
      useStore.setState({ watched: null });
      go({ view: "run", run });
    }, 700);
    return () => window.clearTimeout(timer);
  }, [live?.state, run]);

  if (!source.server || source.site.read_only) return <div className="page narrow"><h1>{t.titles.record}</h1><p className="notice">{source.server ? t.record.readOnly : t.serverOnly}</p></div>;
  const change = (part: Partial<Draft>) => setDraft({ ...draft, ...part });
  const body = () => bodyOf(draft, model);
  const draw = async (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    if (!draft.prompt.trim()) return setError(new Error(t.record.empty));
    try {
      setJob((await startJob(source, { kind: "record", ...body() })).id);
    } catch (reason) {
      setError(reason as Error);
    }
  };
  const busy = live !== null && !ended(live);
  const field = (name: keyof Draft, label: string, standard: number | null | undefined, options: { step?: string; min?: number } = {}) => (
    <div className="field">
      <label htmlFor={`record-${name}`}>{label}</label>
      <input id={`record-${name}`} type="number" inputMode="decimal" {...options} value={draft[name]} placeholder={String(standard ?? "")} onChange={(event) => change({ [name]: event.target.value })} />
    </div>
  );
  return (
    <div className="page narrow">
      <div><h1>{t.titles.record}</h1><p className="hint">{t.record.intro}</p></div>
      <div className="record">
        <form className="stack" onSubmit={(event) => void draw(event)}>
          <div className="field">
            <label htmlFor="record-prompt">{t.record.prompt}</label>
            <textarea id="record-prompt" value={draft.prompt} placeholder={t.record.placeholder} maxLength={source.site.limits?.prompt_characters ?? 2000} autoFocus
              onChange={(event) => change({ prompt: event.target.value })}
              onKeyDown={(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit(); }} />
            <Split prompt={draft.prompt} model={model?.id ?? null} />
          </div>
          <div className="fields two">
            <div className="field">
              <label htmlFor="record-model">{t.record.model}</label>
              <select id="record-model" value={model?.id ?? ""} onChange={(event) => change({ model: event.target.value })}>
                {models.value?.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
              </select>
            </div>
            <div className="field">
              <label htmlFor="record-keep">{t.record.keep}</label>
              <select id="record-keep" value={draft.keep} onChange={(event) => change({ keep: event.target.value })}>
                {Object.entries(t.record.keeps).map(([name, text]) => <option key={name} value={name}>{text}</option>)}
              </select>
            </div>
            {field("seed", t.record.seed, 0, { min: 0 })}
            {field("steps", t.record.steps, model?.steps, { min: 1 })}
          </div>
          <Size body={draft.prompt.trim() !== "" && model && sound(draft) ? body() : null} keep={draft.keep} />
          <details>
            <summary className="hint">{t.record.more}</summary>
            <div className="stack" style={{ paddingTop: 12 }}>
              <div className="field">
                <label htmlFor="record-negative">{t.record.negative} <span className="hint">({t.optional})</span></label>
                <input id="record-negative" value={draft.negative_prompt} onChange={(event) => change({ negative_prompt: event.target.value })} />
              </div>
              <div className="fields">
                {field("guidance_scale", t.record.guidance, model?.guidance_scale, { step: "0.5", min: 0 })}
                {field("width", t.record.width, model?.width, { min: 8 })}
                {field("height", t.record.height, model?.height, { min: 8 })}
              </div>
            </div>
          </details>
          {error && <Failed error={error} />}
          {models.error && <Failed error={models.error} />}
          <div className="row">
            <Button type="submit" kind="main" disabled={busy || !model}>{t.record.draw}</Button>
            <Button onClick={() => change({ seed: String(Math.floor(Math.random() * 1000)) })}>{t.record.dice}</Button>
          </div>
        </form>
        <section aria-label={t.job.progress}>
          {live ? <LiveDrawing source={source} job={live} aspect={(Number(draft.width) || model?.width || 1) / (Number(draft.height) || model?.height || 1)} /> : <div className="frame live-picture empty-picture" aria-hidden="true" />}
          {live && ended(live) && live.result?.runs?.[0] && <p style={{ marginTop: 12 }}><Button onClick={() => go({ view: "run", run: live.result!.runs![0]! })}>{t.job.open}</Button></p>}
        </section>
      </div>
    </div>
  );
}

// The job that is watched: it goes on while one looks elsewhere, and is found again. One that is over by then is let go.
function useWatched(source: Source): string | null {
  const watched = useStore((state) => state.watched);
  const [known, setKnown] = useState(watched === null);
  useEffect(() => {
    if (watched === null || known) return;
    source.json<Job>(`api/jobs/${encodeURIComponent(watched)}`).then(
      (job) => (isOver(job) ? useStore.setState({ watched: null }) : setKnown(true)),
      () => useStore.setState({ watched: null }),
    );
  }, [watched, known]);
  useEffect(() => {
    if (watched === null) setKnown(true);
  }, [watched]);
  return known ? watched : null;
}

// Whether the numbers of the form are numbers that can be asked for at all.
function sound(draft: Draft): boolean {
  const whole = (text: string, least: number) => text.trim() === "" || (Number.isInteger(Number(text)) && Number(text) >= least);
  return whole(draft.steps, 1) && whole(draft.width, 8) && whole(draft.height, 8) && whole(draft.seed, 0) && (draft.guidance_scale.trim() === "" || Number(draft.guidance_scale) >= 0);
}

function bodyOf(draft: Draft, model: Model | undefined): Drawing {
  const numbered = (text: string) => (text.trim() === "" ? null : Number(text));
  return {
    prompt: draft.prompt.trim(),
    model: model?.id,
    negative_prompt: draft.negative_prompt.trim() || null,
    seed: numbered(draft.seed) ?? 0,
    steps: numbered(draft.steps),
    guidance_scale: numbered(draft.guidance_scale),
    width: numbered(draft.width),
    height: numbered(draft.height),
    keep: draft.keep === "auto" ? null : (draft.keep as "maps" | "cross" | "qk"),
  };
}

// How the model reads the prompt, while it is written; and what it does not know.
function Split({ prompt, model }: { prompt: string; model: string | null }) {
  const { source } = useLibrary();
  const asked = useRested(prompt, 220);
  const [again, setAgain] = useState(0);
  const found = useResource(asked.trim() && model ? `${model} ${asked} ${again}` : null, () => source.server!.send<CheckedPrompt>("POST", "api/prompts/check", { model, prompt: asked }));
  // A worker that loads a model answers later.
  const busy = found.error instanceof SourceError && found.error.status === 503;
  useEffect(() => {
    if (!busy) return;
    const timer = window.setTimeout(() => setAgain((before) => before + 1), 2000);
    return () => window.clearTimeout(timer);
  }, [busy, found.error]);
  if (found.error && !busy) return <p className="hint" role="status">{found.error.message}</p>;
  if (!prompt.trim()) return <p className="hint">{t.record.ready}</p>;
  if (!found.value) return <p className="hint" role="status">{t.record.reading}</p>;
  const tokens = found.value.tokens.filter((token) => token.kind === "content");
  return (
    <div className="split" data-testid="split">
      <p className="tokens" aria-label={t.record.split}>
        {tokens.map((token) => <span key={token.index} className={token.text.endsWith("</w>") ? "token last" : "token"}>{token.text.replace("</w>", "")}</span>)}
        <span className="hint">{t.record.tokens(tokens.length)}</span>
      </p>
      {found.value.cut && <p className="notice" role="status">{t.record.cut(found.value.cut)}</p>}
      {found.value.warnings.map((warning) => <p key={warning} className="notice" role="status">{warning}</p>)}
    </div>
  );
}

// What the recording would take on disk, as the form stands; asked again when it changes and rests.
function Size({ body, keep }: { body: Drawing | null; keep: string }) {
  const { source } = useLibrary();
  const text = body && JSON.stringify({ ...body, seed: 0 });
  const asked = useRested(text, 350);
  const [again, setAgain] = useState(0);
  const found = useResource(asked && `${asked} ${again}`, () => source.server!.send<Sizes>("POST", "api/prompts/size", JSON.parse(asked!)));
  const { value, error, loading } = found;
  // While the worker loads a model, or draws with another one, it is said later.
  const later = (error instanceof SourceError && error.status === 503) || (value?.known === false && !value.problem);
  useEffect(() => {
    if (!later) return;
    const timer = window.setTimeout(() => setAgain((before) => before + 1), 3000);
    return () => window.clearTimeout(timer);
  }, [later, found]);
  const level = keep === "auto" ? value?.level : (keep as Level);
  const size = level ? value?.bytes?.[level] : undefined;
  const said = !text ? t.record.sizeAfter : later ? t.record.sizeLater : error ? error.message : value?.problem ? value.problem : size === undefined ? t.record.estimating : keep === "auto" ? t.record.sizeAuto(bytes(size), t.record.keeps[level!]) : t.record.estimate(bytes(size));
  return (
    <div className="size" data-testid="estimate" aria-busy={loading}>
      <p className="hint" role="status">{said}</p>
      {value?.bytes && (
        <dl className={`size-levels${loading || asked !== text ? " old" : ""}`}>
          {LEVELS.map((each) => (
            <div key={each} className={each === level ? "now" : ""}>
              <dt>{t.record.keeps[each]}</dt>
              <dd>{bytes(value.bytes![each] ?? 0)}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}

const LEVELS = ["maps", "cross", "qk"] as const;
type Level = (typeof LEVELS)[number];

// A value once it has stayed for a while.
function useRested<T>(value: T, pause: number): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => setRested(value), pause);
    return () => window.clearTimeout(timer);
  }, [value, pause]);
  return rested;
}
