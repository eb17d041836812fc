// The stage: the canvas of all heads, what is pointed at, the scale, and the keys.

import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { useShallow } from "zustand/react/shallow";
import { gradient, level } from "../../maps/colours";
import { number, place as placeName } from "../../maps/measure";
import { useStore } from "../../state/store";
import { t } from "../../text";
import type { Cell } from "./cells";
import { gestures } from "./gestures";
import { AtlasScene, type Showing } from "./scene";
import { useAtlas, type Cursor } from "./state";
import { a } from "./text";
import { cellMass, cellRange } from "./tiles";
import type { AtlasViewProps } from "./view";
import { readingAt, useReading } from "./reading";
import { frameColours } from "./arrange";

export function Stage({ view, tint, onNear, onStage, children }: {
  view: AtlasViewProps;
  tint: Float32Array;
  onNear: (near: boolean) => void;
  onStage: (aspect: number) => void;
  children?: ReactNode;
}) {
  const { cells, laid, tiles, fine, slot, range, recording } = view;
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const ring = useRef<HTMLDivElement>(null);
  const halo = useRef<HTMLDivElement>(null);
  const map = useRef<HTMLCanvasElement>(null);
  const window_ = useRef<HTMLDivElement>(null);
  const scene = useRef<AtlasScene | null>(null);
  const [painter, setPainter] = useState<"webgl2" | "2d" | null>(null);
  const { cursor, planes, tint: tinted, set } = useAtlas(useShallow(({ cursor, planes, tint, set }) => ({ cursor, planes, tint, set })));
  const { colours, smooth } = useStore(useShallow(({ colours, smooth }) => ({ colours, smooth })));
  const sent = useRef(useAtlas.getState().camera);

  useEffect(() => {
    const chooses = (at: Cursor | null, step: number | null) => {
      if (at) set({ cursor: at });
      if (step !== null) useStore.getState().select({ steps: String(step) });
    };
    const made = new AtlasScene(
      { element: host.current!, canvas: canvas.current!, overlay: overlay.current!, ring: ring.current!, halo: halo.current!, map: map.current!, window: window_.current! },
      cells,
      {
        rests: (at, angles, near) => {
          sent.current = at;
          set({ camera: at, planes: angles });
          onNear(near);
        },
        hovers: (at) => set({ hover: at }),
        chooses,
      },
    );
    scene.current = made;
    setPainter(made.painter.kind);
    set({ handle: made, hover: null });
    const let_go = gestures(made, chooses);
    const observer = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = host.current!;
      // In halves: lines of ranked cells break anew only where the stage has become another.
      if (clientHeight > 0) onStage(Math.max(0.5, Math.round((2 * clientWidth) / clientHeight) / 2));
    });
    observer.observe(host.current!);
    return () => {
      let_go();
      observer.disconnect();
      made.dispose();
      scene.current = null;
      set({ handle: null });
    };
  }, [cells]);

  const showing = useMemo<Showing | null>(
    () => laid && {
      placed: laid.placed, seen: laid.seen, chosen: laid.chosen, tint, tinted: tinted !== "none", tiles, fine, slot, range,
      colours: tiles?.content.signed ? "berlin" : colours,
      smooth, planes, ranks: laid.ranks, cursor,
    },
    [laid, tint, tinted, tiles, fine, slot, range, colours, smooth, planes, cursor],
  );
  useEffect(() => {
    if (showing) scene.current?.show(showing, useAtlas.getState().camera);
  }, [showing, painter]);
  // The address, or a tour, may put the camera somewhere; what the stage itself told is not news.
  useEffect(() => useAtlas.subscribe(({ camera }) => {
    if (sent.current === camera) return;
    sent.current = camera;
    scene.current?.look(camera);
  }), []);

  const keys = (event: KeyboardEvent) => {
    const made = scene.current;
    if (!made || event.ctrlKey || event.metaKey || event.altKey || event.target !== host.current) return;
    if (made.tool?.key?.(event.nativeEvent, cursor)) return taken(event);
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      move(made, view, cursor, step[0]!, step[1]!, (next) => set({ cursor: next }));
    } else if (event.key === "+" || event.key === "=") made.zoom(1.5, middleOf(made, cursor));
    else if (event.key === "-") made.zoom(1 / 1.5, middleOf(made, cursor));
    else if (event.key === "0") made.fit();
    else if (event.key === "Enter" && cursor) {
      const cell = cells[cursor.cell]!;
      made.goTo(cell, cursor.patch ?? { x: Math.floor(cell.grid[1] / 2), y: Math.floor(cell.grid[0] / 2) });
    } else if (event.key === "Escape" && (cursor || planes)) {
      if (cursor?.patch) set({ cursor: { cell: cursor.cell, patch: null } });
      else if (planes) set({ planes: null });
      else set({ cursor: null });
    } else if ((event.key === "Home" || event.key === "End") && laid) {
      const cell = event.key === "Home" ? laid.cells[0] : laid.cells.at(-1);
      if (cell) to(made, cell, (next) => set({ cursor: next }));
    } else if ((event.key === "PageUp" || event.key === "PageDown") && laid) {
      const cell = across(laid.cells, cells[cursor?.cell ?? -1], event.key === "PageDown" ? 1 : -1);
      if (cell) to(made, cell, (next) => set({ cursor: next }));
    } else return;
    taken(event);
  };

  const what = view.tiles ? a.what(contentFamily(view), view.word?.text ?? "") : t.run.nothing;
  const when = t.run.when(view.step === null ? recording.steps : [view.step], recording.steps.length);
  const told = toldOf(view, cursor);
  return (
    <>
      <div
        ref={host}
        className="atlas-stage"
        data-testid="atlas"
        data-painter={painter ?? undefined}
        data-planes={planes ? "" : undefined}
        data-loading={view.loading ? "" : undefined}
        tabIndex={0}
        role="application"
        aria-roledescription="atlas"
        aria-label={a.stage(what, laid?.cells.length ?? 0, when)}
        aria-describedby="atlas-told"
        onKeyDown={keys}
      >
        <canvas ref={canvas} aria-hidden="true" />
        <canvas ref={overlay} className="atlas-overlay" aria-hidden="true" hidden />
        <div ref={halo} className="atlas-halo" aria-hidden="true" hidden />
        <div ref={ring} className="atlas-ring" aria-hidden="true" hidden />
        <div className="atlas-map atlas-over" aria-hidden="true" hidden onPointerDown={(event) => fromMap(event, scene.current)} onPointerMove={(event) => event.buttons & 1 && fromMap(event, scene.current)}>
          <canvas ref={map} />
          <div ref={window_} />
        </div>
        {view.loading && <p className="atlas-waiting row hint" role="status"><span className="spinner" aria-hidden="true" />{a.making}</p>}
        {laid && laid.cells.length === 0 && <p className="atlas-empty">{a.nothing}</p>}
        {children}
      </div>
      <Foot view={view} when={when} />
      <p id="atlas-told" className="unseen" aria-live="polite" data-testid="atlas-told">{told}</p>
    </>
  );
}

function taken(event: KeyboardEvent) {
  event.preventDefault();
  event.stopPropagation();
}

const contentFamily = ({ tiles }: AtlasViewProps): string => {
  const content = tiles!.content;
  return content.word !== null && content.family !== "word" ? `${content.family}-word` : content.family;
};

function fromMap(event: React.PointerEvent, scene: AtlasScene | null) {
  const box = event.currentTarget.querySelector("canvas")!.getBoundingClientRect();
  scene?.fromMap(event.clientX - box.left, event.clientY - box.top);
}

const middleOf = (scene: AtlasScene, cursor: Cursor | null) => {
  const cell = cursor && scene.cells[cursor.cell];
  const rect = cell && scene.rectOf(cell);
  return rect ? { x: rect.x + rect.width / 2, y: rect.y + rect.height / 2 } : undefined;
};

function to(scene: AtlasScene, cell: Cell, set: (cursor: Cursor) => void) {
  set({ cell: cell.index, patch: null });
  scene.reveal(cell);
}

// Over the patches of a cell that one has gone into, else from head to head.
function move(scene: AtlasScene, { laid, cells }: AtlasViewProps, cursor: Cursor | null, right: number, down: number, set: (cursor: Cursor) => void) {
  if (!laid) return;
  if (!cursor || !laid.chosen[cursor.cell]) {
    const first = laid.cells[0];
    if (first) to(scene, first, set);
    return;
  }
  const cell = cells[cursor.cell]!;
  if (cursor.patch) {
    const inside = (value: number, count: number) => Math.max(0, Math.min(count - 1, value));
    return set({ cell: cell.index, patch: { x: inside(cursor.patch.x + right, cell.grid[1]), y: inside(cursor.patch.y + down, cell.grid[0]) } });
  }
  const next = scene.neighbour(cell.index, right, down);
  if (next !== null) to(scene, cells[next]!, set);
}

// The same place of the next site, in the order shown.
function across(order: readonly Cell[], from: Cell | undefined, by: 1 | -1): Cell | undefined {
  if (!from) return order[0];
  const sites = [...new Set(order.map(({ site }) => site))];
  const site = sites[sites.indexOf(from.site) + by];
  const there = order.filter((cell) => cell.site === site);
  return there.find(({ head }) => head === from.head) ?? there.at(-1);
}

// What is under the pointer, or at the cursor, in numbers; and the scale.
function Foot({ view, when }: { view: AtlasViewProps; when: string }) {
  const hover = useAtlas((state) => state.hover);
  const cursor = useAtlas((state) => state.cursor);
  const at = hover ?? cursor;
  const reading = useReading(view, at);
  const cell = at && view.cells[at.cell];
  return (
    <div className="atlas-foot">
      <p className="atlas-read" data-testid="atlas-read">
        {cell && reading ? (
          <>
            <b>{reading.value === null ? number(reading.mean) : number(reading.value, reading.exact ? 6 : 4)}</b>
            <span>
              {a.head(cell.site, cell.head)}
              {at.patch ? ` · ${a.patch(at.patch.x, at.patch.y)}` : ` · ${a.mean}`}
              {at.patch && ` · ${reading.exact ? a.exact : reading.reduced ? a.inReduced : a.within(number(reading.error, 2))}`}
            </span>
          </>
        ) : (
          <span>{a.pointer}</span>
        )}
        <span className="atlas-when">{when}</span>
      </p>
      <Legend view={view} at={reading?.value ?? null} cell={cell?.index ?? null} />
    </div>
  );
}

function Legend({ view: { tiles, range, slot }, at, cell }: { view: AtlasViewProps; at: number | null; cell: number | null }) {
  const colours = useStore((state) => state.colours);
  const over = useAtlas((state) => state.range);
  const tint = useAtlas((state) => state.tint);
  if (!tiles) return null;
  const own = range ?? (cell === null ? null : cellRange(tiles, slot, cell));
  const signed = tiles.content.signed;
  const ends = own && (signed ? { low: -Math.max(Math.abs(own.low), Math.abs(own.high)), high: Math.max(Math.abs(own.low), Math.abs(own.high)) } : own);
  const [low, high] = ends ? [number(ends.low), number(ends.high)] : [a.own, a.ownMost];
  const mode = signed ? `${a.ranges[over]}, ${a.signedRange}` : a.ranges[over];
  return (
    <div className="legend" role="img" data-testid="atlas-legend" aria-label={a.legend(tiles.unit, low, high, mode)}>
      <div className="legend-ramp ramp" style={{ background: gradient(signed ? "berlin" : colours, "to right") }}>
        {at !== null && ends && <span className="legend-mark" style={{ "--at": level(at, [ends.low, ends.high]) } as React.CSSProperties} />}
      </div>
      <div className="legend-ends">
        <span>{low}</span>
        <span className="legend-unit">{tiles.unit} · {mode}</span>
        <span>{high}</span>
      </div>
      {tint !== "none" && (
        <p className="atlas-tint"><span className="ramp" style={{ background: gradient(frameColours(colours), "to right") }} aria-hidden="true" />{a.tintNotes[tint]}</p>
      )}
    </div>
  );
}

// The cursor's cell in a sentence, for those who do not see it.
function toldOf(view: AtlasViewProps, cursor: Cursor | null): string {
  const { cells, tiles, slot, laid } = view;
  const cell = cursor && cells[cursor.cell];
  if (!cell || !tiles) return a.keys;
  const patch = cursor.patch;
  const value = readingAt(view, cursor)?.value ?? null;
  const where = patch ? `, ${a.patch(patch.x, patch.y)}, ${placeName((patch.x + 0.5) / cell.grid[1], (patch.y + 0.5) / cell.grid[0])}` : "";
  const rank = laid?.ranks?.[cell.index] ?? 0;
  return a.told(
    a.head(cell.site, cell.head),
    a.kindNames[cell.kind] ?? cell.kind,
    a.grid(cell.grid[0], cell.grid[1]),
    where,
    value === null ? "" : a.toldValue(number(value), tiles.unit),
    number(cellMass(tiles, slot, cell.index)),
    rank ? a.toldRank(rank, laid!.of) : "",
  );
}
