// All recordings: pictures, filtered and ordered, or the tree of edits.

import { useMemo, useState } from "react";
import type { RunSummary } from "../../api/types";
import { Button, Failed, Segmented } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { useLibrary } from "../../state/source";
import { t } from "../../text";
import { arranged, childrenOf, type Order } from "./arrange";
import { RunCard } from "./RunCard";
import { Explore } from "../explore/Explore";

export function Gallery() {
  const { source, example, runs, reload } = useLibrary();
  const [filter, setFilter] = useState("");
  const [model, setModel] = useState("");
  const [order, setOrder] = useState<Order>("newest");
  const [shape, setShape] = useState<"flat" | "tree">("flat");
  const [gone, setGone] = useState<{ entry: string; run: string } | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const shown = useMemo(() => arranged(runs, { filter, model, order }), [runs, filter, model, order]);
  const models = [...new Set(runs.flatMap((run) => (run.model ? [run.model] : [])))];
  const editable = source.server !== null && !source.site.read_only;

  const remove = async (run: RunSummary) => {
    try {
      const { entry } = await source.server!.send<{ entry: string }>("DELETE", `api/runs/${encodeURIComponent(run.id)}`);
      setGone({ entry, run: run.id });
      await reload();
    } catch (reason) {
      setError(reason as Error);
    }
  };
  const restore = async () => {
    if (!gone) return;
    try {
      await source.server!.send("POST", `api/trash/${encodeURIComponent(gone.entry)}/restore`);
      setGone(null);
      await reload();
    } catch (reason) {
      setError(reason as Error);
    }
  };

  if (runs.length === 0 && example?.site.example) {
    return (
      <>
        <div className="welcome">
          <p>{t.gallery.exampleText}</p>
          {editable && <a className="button main" href={linkTo({ view: "record" })}>{t.nav.record}</a>}
        </div>
        {gone && <Toast onUndo={() => void restore()} />}
        <Explore id={example.site.example} />
      </>
    );
  }
  return (
    <div className="page">
      <div className="page-head">
        <div><h1>{t.titles.gallery}</h1><p className="hint">{source.site.static ? t.staticSite : t.gallery.intro}</p></div>
        {editable && <a className="button main" href={linkTo({ view: "record" })}>{t.nav.record}</a>}
      </div>
      {error && <Failed error={error} />}
      {runs.length > 1 && (
        <div className="filters" role="search">
          <input type="search" aria-label={t.gallery.search} placeholder={t.gallery.search} value={filter} onChange={(event) => setFilter(event.target.value)} />
          {models.length > 1 && (
            <select className="plain" aria-label={t.gallery.model} value={model} onChange={(event) => setModel(event.target.value)}>
              <option value="">{t.gallery.every}</option>
              {models.map((each) => <option key={each}>{each}</option>)}
            </select>
          )}
          <select className="plain" aria-label={t.gallery.sort} value={order} onChange={(event) => setOrder(event.target.value as Order)}>
            {Object.entries(t.gallery.sorts).map(([name, text]) => <option key={name} value={name}>{text}</option>)}
          </select>
          <Segmented label={t.gallery.arrange} value={shape} options={{ flat: t.gallery.flat, tree: t.gallery.tree }} onChange={setShape} />
          <span className="hint" role="status">{t.gallery.count(shown.length)}</span>
        </div>
      )}
      {shown.length === 0 && <p className="hint">{runs.length ? t.gallery.none : t.notHere.text}</p>}
      {shape === "flat" ? (
        <ul className="cards">{shown.map((run) => <li key={run.id}><RunCard run={run} onDelete={editable ? () => void remove(run) : undefined} /></li>)}</ul>
      ) : (
        <Branches runs={shown.filter((run) => !shown.some((other) => other.id === run.parent))} all={shown} onDelete={editable ? remove : undefined} />
      )}
      {gone && <Toast onUndo={() => void restore()} />}
    </div>
  );
}

function Branches({ runs, all, onDelete }: { runs: RunSummary[]; all: RunSummary[]; onDelete?: (run: RunSummary) => Promise<void> }) {
  return (
    <ul className="branches">
      {runs.map((run) => {
        const children = childrenOf(all, run.id);
        return (
          <li key={run.id}>
            <RunCard run={run} small onDelete={onDelete && (() => void onDelete(run))} />
            {children.length > 0 && <Branches runs={children} all={all} onDelete={onDelete} />}
          </li>
        );
      })}
    </ul>
  );
}

function Toast({ onUndo }: { onUndo: () => void }) {
  return <div className="toast" role="status">{t.gallery.deleted}<Button onClick={onUndo}>{t.undo}</Button></div>;
}
