// Which heads, and which patches: layers, each with a name, kept by the browser and carried by the link.

import { useState, type CSSProperties, type FormEvent } from "react";
import { Button, Segmented, Slider } from "../../../parts/controls";
import { percent } from "../../../maps/measure";
import { blank, cover, inverted, picturePlane, type Patches } from "../../../maps/patches";
import { wordsOf } from "../../../state/run";
import type { Cell } from "../cells";
import { slotIn, type AtlasViewProps } from "../view";
import { useAtlas } from "../state";
import { Mapped } from "./Mapped";
import { gridsOf, Painter } from "./Painter";
import { combined, pick } from "./query";
import { useAct } from "./store";
import { PAINTING } from "./stroke";
import { w } from "./text";
import { chooseHeads, toggleHeads } from "./tools";
import { bySite, colourOf, current, EMPTY, newLayer, withLayer, type Layer } from "./work";

export function SelectPanel(view: AtlasViewProps) {
  return (
    <>
      <section className="section" aria-label={w.select.layers}><Layers /></section>
      <section className="section" aria-label={w.select.headsTitle}><Heads {...view} /></section>
      <section className="section" aria-label={w.select.patchesTitle}><PatchTools {...view} /></section>
      <section className="section"><Keeping /></section>
    </>
  );
}

export function coverage(patches: Patches): number {
  return cover(patches, [1, 1])[0]!;
}

export function summary(layer: Layer): string {
  const heads = layer.heads.length === 0 ? w.select.allHeads : w.select.heads(layer.heads.length);
  return w.select.summary(heads, layer.patches ? w.select.patches(percent(coverage(layer.patches))) : w.select.everywhere);
}

function Layers() {
  const { work, change, look } = useAct();
  const { layers, now } = work;
  const layer = current(work);
  const at = (place: number, part: Partial<Layer>) => ({ ...work, layers: layers.map((each, i) => (i === place ? { ...each, ...part } : each)) });
  const free = () => {
    for (let n = layers.length + 1; ; n++) if (!layers.some((each) => each.name === w.select.layer(n))) return w.select.layer(n);
  };
  return (
    <div className="stack">
      <h2>{w.select.layers}</h2>
      <ol className="layers">
        {layers.map((each, i) => (
          <li key={i} style={{ "--layer": colourOf(i) } as CSSProperties} className={i === now ? "now" : undefined}>
            <input type="checkbox" checked={each.visible} aria-label={w.select.show(each.name)} onChange={(event) => change(at(i, { visible: event.target.checked }), "show")} />
            <button type="button" className="layer" aria-pressed={i === now} onClick={() => look({ now: i })}>
              <b>{each.name}</b>
              <span className="hint">{summary(each)}</span>
            </button>
            {i > 0 && (
              <Button kind="quiet" aria-label={w.select.up(each.name)} onClick={() => {
                const next = [...layers];
                next.splice(i - 1, 2, layers[i]!, layers[i - 1]!);
                change({ ...work, layers: next, now: now === i ? i - 1 : now === i - 1 ? i : now }, "order");
              }}>↑</Button>
            )}
          </li>
        ))}
      </ol>
      <div className="field">
        <label htmlFor="layer-name">{w.select.name}</label>
        <input id="layer-name" value={layer.name} maxLength={60} onChange={(event) => change(withLayer(work, { name: event.target.value }), "name")} />
      </div>
      <div className="row">
        <Button onClick={() => change({ ...work, layers: [...layers, newLayer(free(), layer.word)], now: layers.length }, "add")}>{w.select.add}</Button>
        <Button onClick={() => change({ ...work, layers: [...layers, { ...layer, name: free() }], now: layers.length }, "copy")}>{w.select.copy}</Button>
        {layers.length > 1 && <Button kind="quiet" onClick={() => change({ ...work, layers: layers.filter((_, i) => i !== now), now: Math.max(0, now - 1) }, "remove")}>{w.select.remove}</Button>}
      </div>
    </div>
  );
}

function Heads({ recording, cells, masses }: AtlasViewProps) {
  const { work } = useAct();
  const cursor = useAtlas((state) => state.cursor);
  const handle = useAtlas((state) => state.handle);
  const layer = current(work);
  const [text, setText] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const cell: Cell | null = cells[cursor?.cell ?? -1] ?? null;
  const massOf = (label: string) => {
    const [word] = wordsOf(recording.words, label);
    return word && masses ? masses.at(word.index, slotIn(masses.slots, null)) : null;
  };
  const choose = async (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    try {
      chooseHeads(combined(await pick(text, cells, recording.source, recording.run.id, massOf), layer.heads), cells, "query");
    } catch (reason) {
      setError(reason as Error);
    }
  };
  const named = new Set(layer.heads);
  return (
    <div className="stack">
      <h2>{w.select.headsTitle}</h2>
      <form className="row" onSubmit={(event) => void choose(event)}>
        <label className="unseen" htmlFor="heads-query">{w.select.query}</label>
        <input id="heads-query" className="plain-input grow" value={text} placeholder="cross:up.*" aria-describedby="heads-hint" spellCheck={false} onChange={(event) => setText(event.target.value)} />
        <button type="submit" className="button" disabled={!text.trim()}>{w.select.choose}</button>
      </form>
      <p className="hint" id="heads-hint">{w.select.queryHint}</p>
      {error && <p className="notice" role="alert">{error.message}</p>}
      <div className="row">
        <Button disabled={!cell} onClick={() => cell && toggleHeads([cell], cells, "heads")}>{w.select.one}</Button>
        <Button disabled={!cell || !handle} onClick={() => cell && handle && toggleHeads(handle.columnOf(cell), cells, "column")}>{w.select.column}</Button>
        <Button disabled={!cell || !handle} onClick={() => cell && handle && toggleHeads(handle.rowOf(cell), cells, "row")}>{w.select.row}</Button>
        <Button disabled={named.size === 0} onClick={() => chooseHeads(new Set(), cells, "drop")}>{w.select.noHeads}</Button>
        <Button disabled={named.size === 0} onClick={() => chooseHeads(new Set(cells.filter(({ id }) => !named.has(id)).map(({ id }) => id)), cells, "flip")}>{w.select.flipHeads}</Button>
      </div>
      {named.size === 0 ? (
        <p className="hint" data-testid="heads">{w.select.none}</p>
      ) : (
        <ul className="chosen-heads" aria-label={w.select.chosen} data-testid="heads">
          {[...bySite(layer.heads)].map(([site, heads]) => (
            <li key={site}>
              <span className="mono">{site}</span>
              {heads.map((head) => (
                <button key={head} type="button" aria-label={w.select.drop(`${site}/${head}`)} title={w.select.drop(`${site}/${head}`)} onClick={() => chooseHeads(new Set([...named].filter((id) => id !== `${site}/${head}`)), cells, "drop")}>{head}</button>
              ))}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function PatchTools(view: AtlasViewProps) {
  const { work, tool, size, surface, change, set } = useAct();
  const { run } = view.recording;
  const layer = current(work);
  const plane = layer.patches?.grid ?? picturePlane({ width: run.width ?? 1, height: run.height ?? 1 });
  const { move: _move, heads: _heads, ...tools } = w.select.tools;
  return (
    <div className="stack">
      <h2>{w.select.patchesTitle}</h2>
      <div className="row spread">
        <Segmented label={w.select.tool} value={PAINTING.includes(tool) ? tool : ""} options={tools} onChange={(next) => set({ tool: next as typeof tool })} />
        <Segmented label={w.select.surface} value={surface} options={w.select.surfaces} onChange={(next) => set({ surface: next })} />
      </div>
      <div className="pair"><span>{w.select.size(percent(size))}</span><Slider label={w.select.sizeLabel} value={Math.round(100 * size)} min={1} max={60} onChange={(next) => set({ size: next / 100 })} /></div>
      <Painter {...view} />
      <p className="hint">{w.select.paintHint}</p>
      <div className="row">
        <Button onClick={() => change(withLayer(work, { patches: null }), "all")}>{w.select.all}</Button>
        <Button onClick={() => change(withLayer(work, { patches: blank(plane) }), "clear")}>{w.select.clear}</Button>
        <Button onClick={() => change(withLayer(work, { patches: flipped(layer.patches, plane) }), "invert")}>{w.select.invert}</Button>
      </div>
      <Mapped patches={layer.patches} grids={gridsOf(view.cells)} colour={colourOf(work.now)} />
    </div>
  );
}

// Everywhere becomes nowhere, and the other way round.
function flipped(patches: Patches | null, plane: Patches["grid"]): Patches | null {
  if (!patches) return blank(plane);
  const found = inverted(patches);
  return found.cells.every((cell) => cell === 1) ? null : found;
}

function Keeping() {
  const { change } = useAct();
  const [copied, setCopied] = useState<string | null>(null);
  const copy = async () => {
    // The address follows the atlas a moment later.
    await new Promise((resolve) => window.setTimeout(resolve, 400));
    const link = window.location.href;
    setCopied(link);
    await navigator.clipboard?.writeText(link).catch(() => undefined);
  };
  return (
    <div className="stack">
      <div className="row">
        <Button onClick={() => void copy()}>{w.select.share}</Button>
        <Button kind="quiet" onClick={() => change(EMPTY, "start")}>{w.select.start}</Button>
      </div>
      {copied && (
        <div className="field" role="status">
          <label htmlFor="work-link">{w.select.shared}</label>
          <input id="work-link" data-testid="link" readOnly value={copied} onFocus={(event) => event.target.select()} />
        </div>
      )}
    </div>
  );
}
