// Which heads draw this? A word, or the patches painted: each head is taken out by itself, and the ranking fills in.

import { useEffect, useMemo, useState, type CSSProperties } from "react";
import { Button, Failed, Progress, Segmented } from "../../../parts/controls";
import { number, percent } from "../../../maps/measure";
import { asChoice, onPlane, type Patches } from "../../../maps/patches";
import { useResource } from "../../../state/resource";
import { t } from "../../../text";
import type { AtlasViewProps } from "../view";
import { finest } from "../act/Painter";
import { busy, startSearch, stopJob, useRunning, type Ranking, type Wanted } from "../act/running";
import { coverage } from "../act/SelectPanel";
import { useAct } from "../act/store";
import { w } from "../act/text";
import { chooseHeads } from "../act/tools";
import { current } from "../act/work";
import { cellById, type Cell } from "../cells";
import { useAtlas } from "../state";
import { effectsOf, rowsOf, searchRows, type Row } from "./effects";

type Among = "cross" | "finest" | "shown";
const AT_FIRST = 24;
const TOP = 5;

export function FindPanel(view: AtlasViewProps) {
  const { recording, cells } = view;
  const { run, source } = recording;
  const { find, starting, error } = useRunning();
  const seen = useAtlas((state) => state.rankingsSeen);
  const [chosen, setChosen] = useState<number | null>(null); // place among those that were kept; null: the newest there is
  const known = useResource(`${run.id} rankings ${seen}`, () => source.json<{ rankings: Ranking[] }>(`api/runs/${encodeURIComponent(run.id)}/rankings.json`).catch(() => ({ rankings: [] })));
  const rankings = known.value?.rankings ?? [];
  const picked = chosen === null ? null : (rankings[chosen] ?? null);
  const shown = picked ?? (find ? find.ranking : (rankings[0] ?? null));
  const rows = useMemo(() => (picked || !find ? rowsOf(shown) : searchRows(find)), [picked, shown, find]);
  const label = picked ? nameOf(picked) : (find?.label ?? (shown ? nameOf(shown) : ""));

  useEffect(() => {
    if (rows.length) useAtlas.getState().set({ effects: effectsOf(rows, cells, label, shown?.unit ?? "mean ΔE") });
  }, [rows, cells, label, shown]);
  const state = find?.state;
  useEffect(() => {
    if (state === "done") useAtlas.getState().set({ rankingsSeen: useAtlas.getState().rankingsSeen + 1 });
  }, [state]);

  const going = busy(find);
  return (
    <>
      <section className="section">
        {source.server && !source.site.read_only ? <Ask view={view} onStart={() => setChosen(null)} going={going || starting === "find"} /> : <p className="hint">{t.serverOnly}</p>}
        {error && <Failed error={error} />}
        {find && going && (
          <div className="stack">
            <Progress share={find.of ? find.done / find.of : 0} label={t.job.progress} />
            <div className="row spread">
              <p className="hint" role="status" data-testid="find-state">{find.state === "waiting" ? t.job.starting : w.find.drawing(find.done, find.of)}</p>
              <Button kind="quiet" onClick={() => void stopJob(source, find.id)}>{w.find.stop}</Button>
            </div>
          </div>
        )}
        {find?.error && <Failed error={new Error(find.error.message)} />}
      </section>
      <section className="section" aria-label={w.find.table}>
        {rankings.length > 0 && (
          <div className="field">
            <label htmlFor="find-known">{w.find.known}</label>
            <select id="find-known" value={chosen ?? (find ? "" : 0)} onChange={(event) => setChosen(event.target.value === "" ? null : Number(event.target.value))}>
              {find && <option value="">{w.find.newest}</option>}
              {rankings.map((each, i) => <option key={i} value={i}>{nameOf(each)}</option>)}
            </select>
          </div>
        )}
        {rows.length === 0 ? <p className="hint">{w.find.none}</p> : <Ranked rows={rows} ranking={picked || !going ? shown : null} label={label} cells={cells} />}
      </section>
    </>
  );
}

const nameOf = ({ target, seeds }: Ranking): string => `${target}, ${seeds.length === 1 ? "1 seed" : `${seeds.length} seeds`}`;

function Ask({ view, onStart, going }: { view: AtlasViewProps; onStart: () => void; going: boolean }) {
  const { recording, selection, cells } = view;
  const { run, source, words } = recording;
  const handle = useAtlas((state) => state.handle);
  const { patches } = useAct((state) => current(state.work));
  const plain = words.words.filter((word) => word.kind !== "special");
  const [of, setOf] = useState<"word" | "region">("word");
  const [word, setWord] = useState<string | null>(null);
  const [among, setAmong] = useState<Among>("finest");
  const [seeds, setSeeds] = useState(4);
  const label = word ?? selection.word ?? plain.find(({ kind }) => kind === "content")?.label ?? plain[0]?.label ?? "";
  const searched = amongCells(cells, among, (cell) => handle?.shown(cell) ?? true);
  const empty = of === "region" && (patches === null || coverage(patches) === 0);
  const start = () => {
    onStart();
    const size = { width: run.width ?? 1, height: run.height ?? 1 };
    const what: Partial<Wanted> = of === "word" ? { word: label } : regionOf(patches!, size);
    void startSearch(source, run.id, { ...what, sites: sitesText(searched, cells), seeds }, of === "word" ? label : w.find.ofs.region);
  };
  return (
    <div className="stack">
      <h2>{w.find.title}</h2>
      <p className="hint">{w.find.note}</p>
      <Segmented label={w.find.of} value={of} options={w.find.ofs} onChange={(next) => { setOf(next); setSeeds(next === "word" ? 4 : 1); }} />
      {of === "word" ? (
        <div className="field">
          <label htmlFor="find-word">{w.find.word}</label>
          <select id="find-word" value={label} onChange={(event) => setWord(event.target.value)}>{plain.map((each) => <option key={each.label}>{each.label}</option>)}</select>
        </div>
      ) : (
        <p className="hint">{empty ? w.find.noRegion : w.find.region(percent(coverage(patches!)))}</p>
      )}
      <div className="fields">
        <div className="field">
          <label htmlFor="find-among">{w.find.sites}</label>
          <select id="find-among" value={among} onChange={(event) => setAmong(event.target.value as Among)}>
            <option value="finest">{w.find.finest}</option>
            <option value="cross">{w.find.everySite}</option>
            <option value="shown">{w.find.filtered}</option>
          </select>
        </div>
        <div className="field">
          <label htmlFor="find-seeds">{w.find.seeds}</label>
          <input id="find-seeds" type="number" min={of === "word" ? 2 : 1} max={64} value={seeds} onChange={(event) => setSeeds(Math.max(of === "word" ? 2 : 1, Math.min(64, Math.round(Number(event.target.value)) || 1)))} />
        </div>
      </div>
      <p className="hint">{w.find.cost(searched.length, seeds)}</p>
      <div className="row"><Button kind="main" data-testid="search" disabled={going || empty || searched.length === 0} onClick={start}>{w.find.start}</Button></div>
    </div>
  );
}

function amongCells(cells: readonly Cell[], among: Among, shown: (cell: Cell) => boolean): Cell[] {
  if (among === "shown") return cells.filter(shown);
  const crossing = cells.filter(({ kind }) => kind !== "self");
  const [height, width] = finest(crossing);
  return among === "cross" ? crossing : crossing.filter(({ grid }) => grid[0] === height && grid[1] === width);
}

// Searches go over whole sites.
const sitesText = (searched: readonly Cell[], cells: readonly Cell[]): string | null => (searched.length === cells.length ? null : [...new Set(searched.map(({ site }) => site))].join(","));

// Patches in the picture's pixels: a box as such, anything else as a mask.
function regionOf(patches: Patches, { width, height }: { width: number; height: number }): Pick<Wanted, "region" | "mask_png"> {
  const pixels = onPlane(patches, [height, width]);
  const { region } = asChoice(pixels, { width, height });
  if (region) return { region };
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  pixels.cells.forEach((cell, i) => image.data.set([255 * cell, 255 * cell, 255 * cell, 255], 4 * i));
  context.putImageData(image, 0, 0);
  return { mask_png: canvas.toDataURL("image/png").split(",")[1]! };
}

function Ranked({ rows, ranking, label, cells }: { rows: readonly Row[]; ranking: Ranking | null; label: string; cells: readonly Cell[] }) {
  const handle = useAtlas((state) => state.handle);
  const [all, setAll] = useState(false);
  const most = Math.max(1e-9, ...rows.map(({ effect, high }) => Math.max(effect, high ?? 0)));
  const at = (value: number) => `${Math.max(0, Math.min(100, (100 * value) / most))}%`;
  const go = (row: Row) => {
    const cell = cellById(cells, row.id);
    if (!cell) return;
    useAtlas.getState().set({ cursor: { cell: cell.index, patch: null } });
    handle?.goTo(cell, null, { zoom: true });
  };
  return (
    <div className="stack">
      <div className="row spread">
        <h2>{label}</h2>
        <Button onClick={() => chooseHeads(new Set(rows.slice(0, TOP).map(({ id }) => id)), cells, "query")}>{w.find.take}</Button>
      </div>
      <p className="hint">{w.find.interval}</p>
      <ol className="effects" data-testid="effects">
        {rows.slice(0, all ? undefined : AT_FIRST).map((row) => (
          <li key={row.id} className={row.state}>
            <button type="button" aria-label={`${w.find.go(row.id)}. ${told(row)}`} title={told(row)} onClick={() => go(row)}>
              <span>{row.rank}</span>
              <span className="mono">{row.id}</span>
              <span className="effect" aria-hidden="true" style={{ "--effect": at(row.effect), ...(row.low !== null && row.high !== null ? { "--low": at(row.low), "--high": at(row.high) } : {}) } as CSSProperties}>
                <i />
                {row.low !== null && row.high !== null && <b />}
              </span>
              <span>{number(row.effect, 2)}</span>
            </button>
          </li>
        ))}
      </ol>
      {rows.length > AT_FIRST && <Button kind="quiet" onClick={() => setAll(!all)}>{all ? t.close : w.select.heads(rows.length)}</Button>}
      {ranking && <p className="hint" role="status">{ranking.settled ? w.find.settled(ranking.top) : w.find.open(ranking.top)} {ranking.skipped.length > 0 && w.find.skipped(ranking.skipped.join(", "))}</p>}
    </div>
  );
}

const told = (row: Row): string =>
  row.low === null || row.high === null ? w.find.rowOne(row.rank, row.id, number(row.effect)) : w.find.row(row.rank, row.id, number(row.effect), number(row.low), number(row.high), row.seeds);
