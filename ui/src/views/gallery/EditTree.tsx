// The history of edits around a run, as a tree.

import type { RunSummary } from "../../api/types";
import { linkTo } from "../../state/address";
import { useLibrary } from "../../state/source";
import { t } from "../../text";
import { childrenOf, rootOf } from "./arrange";

export function EditTree({ run }: { run: string }) {
  const { runs } = useLibrary();
  const root = rootOf(runs, run);
  if (!root || childrenOf(runs, root.id).length === 0) return null;
  return (
    <nav className="tree" aria-label={t.compare.tree}>
      <h3>{t.compare.tree}</h3>
      <ul><Node run={root} all={runs} now={run} /></ul>
    </nav>
  );
}

function Node({ run, all, now }: { run: RunSummary; all: readonly RunSummary[]; now: string }) {
  const children = childrenOf(all, run.id);
  return (
    <li>
      <a href={linkTo({ view: "run", run: run.id })} aria-current={run.id === now ? "page" : undefined}>{run.edits?.length ? t.gallery.edits(run.edits) : (run.prompt ?? run.id)}</a>
      {children.length > 0 && <ul>{children.map((child) => <Node key={child.id} run={child} all={all} now={now} />)}</ul>}
    </li>
  );
}
