// What the run is, and where one goes from here.

import { bytes } from "../../maps/measure";
import { filePath } from "../../state/run";
import { t } from "../../text";
import { linkTo as at } from "../../state/address";
import { EditTree } from "../gallery/EditTree";
import type { RunView } from "./view";

export function FactsPanel({ recording: { run, source } }: RunView) {
  const rows: [string, string | null][] = [
    [t.facts.model, run.model],
    [t.facts.negative, run.negative_prompt],
    [t.facts.seed, run.seed === null ? null : String(run.seed)],
    [t.facts.steps, `${run.steps_recorded ?? "?"}${run.steps_recorded === run.steps ? "" : ` / ${run.steps}`}`],
    [t.facts.scheduler, run.sampling?.scheduler ?? null],
    [t.facts.guidance, run.guidance_scale === null ? null : String(run.guidance_scale)],
    [t.facts.size, run.width && run.height ? `${run.width} × ${run.height}` : null],
    [t.facts.kept, run.keep],
    [t.facts.edits, run.edits?.length ? run.edits.join("; ") : null],
    [t.facts.disk, run.bytes ? bytes(run.bytes) : null],
    [t.facts.created, new Date(run.created).toLocaleString()],
    [t.facts.id, run.id],
  ];
  return (
    <div className="stack">
      <div className="row">
        {source.server && !source.site.read_only && <a className="button main" href={at({ view: "edit", run: run.id })}>{t.facts.edit}</a>}
        {run.parent && <a className="button" href={at({ view: "compare", run: run.parent, other: run.id, control: null })}>{t.gallery.compare}</a>}
        {run.has_image && <a className="button" href={source.url(filePath(run, "image.png"))} download={`${run.id}.png`}>{t.facts.download}</a>}
      </div>
      <dl className="facts">
        {rows.map(([name, value]) => value && <div key={name} style={{ display: "contents" }}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      <EditTree run={run.id} />
    </div>
  );
}
