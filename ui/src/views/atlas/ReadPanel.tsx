// One head in numbers, the first of the order, how maps are shown, and the table behind the picture.

import { useMemo } from "react";
import { useShallow } from "zustand/react/shallow";
import { Pair, Segmented } from "../../parts/controls";
import { SEQUENTIAL, type ColourName } from "../../maps/colours";
import { number } from "../../maps/measure";
import { writeAddress } from "../../state/address";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { CellTable } from "./CellTable";
import { placeName, type Cell } from "./cells";
import { ranked } from "./order";
import { useAtlas, type RangeOver, type Tint } from "./state";
import { a } from "./text";
import { cellMass, cellRange, slotOf } from "./tiles";
import { slotIn, type AtlasViewProps } from "./view";

export function ReadPanel(view: AtlasViewProps) {
  return (
    <>
      <HeadSection view={view} />
      <First view={view} />
      <section className="section" aria-label={t.view.title}><Settings {...view} /></section>
      <section className="section"><CellTable {...view} /></section>
    </>
  );
}

// Of the cursor, or of what is pointed at as long as there is none.
function HeadSection({ view }: { view: AtlasViewProps }) {
  const at = useAtlas((state) => state.cursor?.cell ?? state.hover?.cell ?? null);
  const cell = at === null ? undefined : view.cells[at];
  return (
    <section className="section" aria-labelledby="atlas-head">
      {cell ? <Head view={view} cell={cell} /> : <p className="hint" id="atlas-head">{a.pointer} {a.keys}</p>}
    </section>
  );
}

function Head({ view, cell }: { view: AtlasViewProps; cell: Cell }) {
  const { tiles, slot, word, masses, effects, laid, recording, step } = view;
  const range = tiles && cellRange(tiles, slot, cell.index);
  const byWord = useMemo(() => place(view, cell), [word, masses, cell, laid]);
  const rank = effects?.rank[cell.index] ?? 0;
  const words = masses
    ? recording.words.words
        .filter(({ kind, index }) => kind !== "special" && masses.words.includes(index))
        .map((each) => ({ label: each.label, mass: masses.at(each.index, slotIn(masses.slots, step))?.[cell.index] ?? NaN }))
        .filter(({ mass }) => !Number.isNaN(mass))
        .sort((one, other) => other.mass - one.mass)
        .slice(0, 8)
    : [];
  const most = Math.max(1e-12, ...words.map(({ mass }) => mass));
  const store = useStore.getState();
  const there = writeAddress({
    ...store,
    route: { view: "run", run: recording.run.id },
    selection: { ...view.selection, sites: cell.site, heads: String(cell.head), word: view.selection.word },
  });
  return (
    <>
      <div>
        <h2 className="reading-word" id="atlas-head">{placeName(cell.site)} <small>{a.head("", cell.head).replace(/^, /, "")}</small></h2>
        <p className="hint">{a.kindNames[cell.kind] ?? cell.kind} · {a.grid(cell.grid[0], cell.grid[1])} · <span className="mono">{cell.id}</span></p>
      </div>
      {tiles && range && (
        <dl className="numbers" data-testid="atlas-numbers">
          <div><dt>{a.mean}</dt><dd>{number(cellMass(tiles, slot, cell.index))}<small>{tiles.unit}</small></dd></div>
          <div><dt>{a.least} – {a.greatest}</dt><dd>{number(range.low, 2)} – {number(range.high, 2)}</dd></div>
          {byWord && <div><dt>{a.byWord(word!.text)}</dt><dd>{a.rank(byWord.rank, byWord.of)}<small>{number(byWord.mass)}</small></dd></div>}
          {rank > 0 && (
            <div>
              <dt>{a.byCause(effects!.label)}</dt>
              <dd>{rank}<small>{a.effect} {number(effects!.values[cell.index])}{known(effects!.low?.[cell.index]) && ` · ${a.interval(number(effects!.low![cell.index]), number(effects!.high?.[cell.index]))}`}</small></dd>
            </div>
          )}
        </dl>
      )}
      {words.length > 0 && (
        <div className="stack">
          <h3>{a.words}</h3>
          <ol className="ranking" data-testid="atlas-words">
            {words.map(({ label, mass }) => (
              <li key={label} className={label === word?.label ? "now" : ""}>
                <span>{label}</span>
                <span className="bar" aria-hidden="true"><span style={{ transform: `scaleX(${mass / most})` }} /></span>
                <span>{number(mass)}</span>
              </li>
            ))}
          </ol>
        </div>
      )}
      {cell.kind !== "self" && recording.run.can.heads && recording.source.server && <div className="row"><a className="button" href={there}>{a.explore}</a></div>}
    </>
  );
}

const known = (value: number | undefined): boolean => value !== undefined && !Number.isNaN(value);

// A cell's place by attention to the word, mean over the steps, among all that read it.
function place({ word, masses }: AtlasViewProps, cell: Cell): { rank: number; of: number; mass: number } | null {
  const all = word && masses ? masses.at(word.index, slotIn(masses.slots, null)) : null;
  const own = all?.[cell.index];
  if (!all || own === undefined || Number.isNaN(own)) return null;
  let [rank, of] = [1, 0];
  for (const mass of all) {
    if (Number.isNaN(mass)) continue;
    of++;
    if (mass > own) rank++;
  }
  return { rank, of, mass: own };
}

// The first ten, one press away.
function First({ view: { cells, laid, tiles, word, masses, effects } }: { view: AtlasViewProps }) {
  const order = useAtlas((state) => state.order);
  const handle = useAtlas((state) => state.handle);
  const reads = word && masses ? masses.at(word.index, slotIn(masses.slots, null)) : null;
  const some = reads !== null && cells.some(({ index }) => laid?.chosen[index] === 1 && !Number.isNaN(reads[index]!));
  const by = order === "cause" && effects ? "cause" : order === "shown" || !some ? "shown" : "word";
  const measure = by === "cause" ? effects!.values : by === "word" ? reads : null;
  const rows = useMemo(() => {
    if (!laid) return [];
    const there = cells.filter(({ index }) => laid.chosen[index] === 1);
    const values = measure ?? Float64Array.from(cells, ({ index }) => (tiles && cellMass(tiles, slotOf(tiles, null), index)) ?? NaN);
    return ranked(there, values).slice(0, 10).flatMap((cell) => (Number.isNaN(values[cell.index]!) ? [] : [{ cell, value: values[cell.index]! }]));
  }, [cells, laid, measure, tiles]);
  if (rows.length === 0) return null;
  const most = Math.max(1e-12, ...rows.map(({ value }) => Math.abs(value)));
  return (
    <section className="section">
      <div>
        <h3>{a.first(a.orders[by])}</h3>
        <p className="hint">{a.orderNotes[by]}</p>
      </div>
      <ol className="atlas-first" data-testid="atlas-first">
        {rows.map(({ cell, value }) => (
          <li key={cell.id}>
            <button type="button" onClick={() => handle?.goTo(cell)} title={a.go}>
              <span className="mono">{cell.id}</span>
              <span className="bar" aria-hidden="true"><span style={{ transform: `scaleX(${Math.abs(value) / most})` }} /></span>
              <span>{number(value)}</span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Settings({ effects, tiles }: AtlasViewProps) {
  const { range, tint, set } = useAtlas(useShallow(({ range, tint, set }) => ({ range, tint, set })));
  const { colours, smooth } = useStore();
  const change = useStore((state) => state.set);
  return (
    <div className="stack">
      <label className="pair">
        <span>{a.range}</span>
        <select className="plain" value={range} onChange={(event) => set({ range: event.target.value as RangeOver })}>
          {Object.entries(a.ranges).map(([name, text]) => <option key={name} value={name}>{text}</option>)}
        </select>
      </label>
      <label className="pair">
        <span>{a.tint}</span>
        <select className="plain" value={tint} onChange={(event) => set({ tint: event.target.value as Tint })}>
          {Object.entries(a.tints).map(([name, text]) => <option key={name} value={name} disabled={name === "cause" && effects === null}>{text}</option>)}
        </select>
      </label>
      {effects === null && <p className="hint">{a.noCause}</p>}
      {tiles?.content.signed !== true && (
        <label className="pair">
          <span>{a.colours}</span>
          <select className="plain" value={colours} onChange={(event) => change({ colours: event.target.value as ColourName })}>
            {SEQUENTIAL.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      )}
      <Pair label={a.patches}>
        <Segmented label={a.patches} value={smooth ? "smooth" : "raw"} options={{ raw: t.view.raw, smooth: t.view.smooth }} onChange={(next) => change({ smooth: next === "smooth" })} />
      </Pair>
    </div>
  );
}
