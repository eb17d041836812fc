// A recording in the gallery: picture, prompt, a map for each word, and how it was made.

import { useEffect, useRef, useState } from "react";
import type { RunSummary } from "../../api/types";
import { extent, seriesOf, type Series } from "../../maps/series";
import { paintFlat } from "../../maps/heat2d";
import { linkTo } from "../../state/address";
import { filePath } from "../../state/run";
import { useLibrary } from "../../state/source";
import { t } from "../../text";

export function RunCard({ run, small = false, onDelete }: { run: RunSummary; small?: boolean; onDelete?: () => void }) {
  const { source } = useLibrary();
  const prompt = run.prompt ?? run.id;
  return (
    <article className={`card${small ? " small" : ""}`}>
      <a className="card-open" href={linkTo({ view: "run", run: run.id })} aria-label={t.gallery.open(prompt)}>
        <span className="card-picture">
          {run.has_image ? <img src={source.url(filePath(run, "thumbnail.webp"))} alt="" loading="lazy" /> : <span className="hint">{t.gallery.states[run.state]}</span>}
        </span>
      </a>
      <div className="card-text">
        <p className="card-prompt">{prompt}</p>
        {run.edits && run.edits.length > 0 && <p className="card-edit">{t.gallery.edits(run.edits)}</p>}
        {!small && run.words && <WordMaps run={run} />}
        <p className="hint">
          {[run.model, t.gallery.seed(run.seed), t.gallery.steps(run.steps_recorded)].filter(Boolean).join(" · ")}
          {run.state !== "complete" && ` · ${run.problem ?? t.gallery.states[run.state]}`}
        </p>
        <p className="row">
          {run.parent && <a className="hint" href={linkTo({ view: "compare", run: run.parent, other: run.id, control: null })}>{t.gallery.compare}</a>}
          {onDelete && (
            <button type="button" className="button quiet card-delete" aria-label={t.gallery.delete(prompt)} onClick={onDelete}>
              <svg viewBox="0 0 16 16" aria-hidden="true"><path d="M6 1h4l1 1.5h3.5V4h-13V2.5H5zM2.8 5h10.4l-.8 10H3.6z" /></svg>
            </button>
          )}
        </p>
      </div>
    </article>
  );
}

// The maps of the content words over all steps, side by side on one scale; fetched when they come into view.
function WordMaps({ run }: { run: RunSummary }) {
  const { source } = useLibrary();
  const box = useRef<HTMLDivElement>(null);
  const [found, setFound] = useState<{ labels: string[]; series: Series } | null>(null);
  useEffect(() => {
    const element = box.current;
    if (!element || run.state === "damaged" || run.state === "running") return;
    let wanted = true;
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      source.tensors(filePath(run, "maps/all.safetensors")).then(
        (file) => wanted && setFound({ labels: JSON.parse(file.metadata.words ?? "[]") as string[], series: seriesOf(file, { label: "", steps: [] }) }),
        () => undefined,
      );
    }, { rootMargin: "120px" });
    observer.observe(element);
    return () => {
      wanted = false;
      observer.disconnect();
    };
  }, [run.id, run.version]);
  const range = found ? extent(found.series.maps.filter((_, i) => !found.labels[i]?.startsWith("<"))) : ([0, 1] as [number, number]);
  return (
    <div className="card-maps" ref={box} role="img" aria-label={t.gallery.strip(run.prompt ?? "")}>
      {found?.labels.map((label, i) => {
        const values = found.series.maps[i];
        return values && !label.startsWith("<") ? <Tiny key={label} values={values} width={found.series.width} height={found.series.height} range={range} /> : null;
      })}
    </div>
  );
}

function Tiny({ values, width, height, range }: { values: Float32Array; width: number; height: number; range: [number, number] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current) paintFlat(canvas.current, { heat: { values, width, height }, range, colours: "magma", smooth: false, opacity: 1, look: "colour", outlines: [] });
  }, [values, width, height, range[0], range[1]]);
  return <canvas ref={canvas} />;
}
