// Painting patches: on the picture, or on the grid of the head at the cursor. The stroke is drawn frame by frame on a
// canvas; React hears of it when it is whole.

import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import { cover, gridText, picturePlane, type Grid, type Patches } from "../../../maps/patches";
import { outline } from "../../../maps/masks";
import { extent, type Heat } from "../../../maps/series";
import type { Point } from "../../../maps/regions";
import { filePath } from "../../../state/run";
import { useStore } from "../../../state/store";
import { HeatCanvas } from "../../explore/HeatCanvas";
import type { Cell } from "../cells";
import type { AtlasViewProps } from "../view";
import { useAtlas } from "../state";
import { drawOutline, OPACITY, shareCanvas } from "./overlay";
import { useAct, type Did } from "./store";
import { liveStroke, onStroke, Stroke, type Painting } from "./stroke";
import { w } from "./text";
import { finish, isPainting, paintByKey, type Pen } from "./tools";
import { colourOf, current } from "./work";

export function Painter(view: AtlasViewProps) {
  const { recording, cells } = view;
  const { run, source } = recording;
  const work = useAct((state) => state.work);
  const tool = useAct((state) => state.tool);
  const size = useAct((state) => state.size);
  const surface = useAct((state) => state.surface);
  const cursor = useAtlas((state) => state.cursor);
  const cell = cells[cursor?.cell ?? 0] ?? null;
  const onCell = surface === "cell" && cell !== null;
  const picture = { width: run.width ?? 1, height: run.height ?? 1 };
  const grid: Grid = onCell ? cell.grid : picturePlane(picture);
  const steps: Grid = onCell ? cell.grid : finest(cells);
  const name: Painting = isPainting(tool) ? tool : "brush";
  const { patches } = current(work);
  const colour = colourOf(work.now);
  const heat = useHeat(onCell ? cell : null);

  const canvas = useRef<HTMLCanvasElement>(null);
  const stroke = useRef<Stroke | null>(null);
  const pen = useRef<Pen>({ place: "", corners: [] });
  const pointer = useRef<Point | null>(null); // in shares
  const [at, setAt] = useState<Point | null>(null); // of the keyboard, in cells of `steps`
  const state = useRef({ patches, colour, grid, steps, size, name, at });
  state.current = { patches, colour, grid, steps, size, name, at };

  const draw = useRef(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const { patches: kept, colour: ink, grid: plane, steps: cellsOf, size: wide, name: now, at: place } = state.current;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [element.clientWidth, element.clientHeight];
    if (element.width !== Math.round(width * ratio) || element.height !== Math.round(height * ratio)) Object.assign(element, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    const shown = liveStroke()?.patches ?? kept;
    if (shown) {
      context.globalAlpha = OPACITY;
      context.drawImage(shareCanvas(shown, shown.grid, ink), 0, 0, width, height);
      context.globalAlpha = 1;
      edge(context, shown, ink, width, height);
    }
    drawOutline(context, { x: 0, y: 0, width, height }, ink);
    const keyed = pen.current.corners.map(({ x, y }) => ({ x: (x / cellsOf[1]) * width, y: (y / cellsOf[0]) * height }));
    context.fillStyle = ink;
    for (const { x, y } of keyed) context.fillRect(x - 3, y - 3, 6, 6);
    if (pointer.current && (now === "brush" || now === "eraser")) {
      ring(context, pointer.current.x * width, pointer.current.y * height, Math.max(width / plane[1], wide * width) / 2);
    }
    if (place && document.activeElement === element.parentElement) {
      context.strokeStyle = "#000";
      context.lineWidth = 3;
      const patch = [(place.x * width) / cellsOf[1], (place.y * height) / cellsOf[0], width / cellsOf[1], height / cellsOf[0]] as const;
      context.strokeRect(...patch);
      context.strokeStyle = "#fff";
      context.lineWidth = 1.5;
      context.strokeRect(...patch);
    }
  });
  const frame = useRef(0);
  const redraw = () => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(draw.current);
  };
  useEffect(() => {
    const observer = new ResizeObserver(redraw);
    observer.observe(canvas.current!);
    const stop = onStroke(redraw);
    return () => {
      observer.disconnect();
      stop();
      cancelAnimationFrame(frame.current);
    };
  }, []);
  useEffect(redraw, [patches, colour, gridText(grid), gridText(steps), size, name, at]);

  const shareOf = (event: { clientX: number; clientY: number }): Point => {
    const box = canvas.current!.getBoundingClientRect();
    const inside = (value: number) => Math.max(0, Math.min(1 - 1e-6, value));
    return { x: inside((event.clientX - box.left) / box.width), y: inside((event.clientY - box.top) / box.height) };
  };
  const cellAt = ({ x, y }: Point): Point => ({ x: x * grid[1], y: y * grid[0] });
  const down = (event: PointerEvent) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    stroke.current = new Stroke(patches, grid, name, size, cellAt(shareOf(event)), event.altKey);
  };
  const move = (event: PointerEvent) => {
    pointer.current = shareOf(event);
    if (stroke.current) {
      const samples = event.nativeEvent.getCoalescedEvents?.() ?? [];
      for (const each of samples.length ? samples : [event]) stroke.current.to(cellAt(shareOf(each)));
    } else redraw();
  };
  const up = (event: PointerEvent) => {
    if (!stroke.current) return;
    stroke.current.to(cellAt(shareOf(event)));
    finish(stroke.current, name as Did);
    stroke.current = null;
  };
  const cancel = () => {
    stroke.current?.cancel();
    stroke.current = null;
  };
  const leave = () => {
    pointer.current = null;
    redraw();
  };
  const key = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const middle = { x: Math.floor(steps[1] / 2), y: Math.floor(steps[0] / 2) };
    if (by) {
      event.preventDefault();
      event.stopPropagation();
      const inside = (value: number, count: number) => Math.max(0, Math.min(count - 1, value));
      setAt(at ? { x: inside(at.x + by[0]!, steps[1]), y: inside(at.y + by[1]!, steps[0]) } : middle);
      return;
    }
    if (!paintByKey({ pen: pen.current }, event.key, name, steps, at ?? middle, onCell ? cell.id : "picture")) return;
    event.preventDefault();
    event.stopPropagation();
    if (!at && !"[]".includes(event.key)) setAt(middle);
    redraw();
  };

  const where = onCell ? w.select.onCell(cell.id, gridText(cell.grid)) : w.select.onPicture;
  return (
    <div className="painter">
      <div
        className="frame asked paint"
        data-testid="paint"
        style={{ aspectRatio: picture.width / picture.height }}
        tabIndex={0}
        role="application"
        aria-roledescription="canvas"
        aria-label={w.select.paint(where)}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={cancel}
        onPointerLeave={leave}
        onKeyDown={key}
        onFocus={redraw}
        onBlur={redraw}
      >
        {run.has_image && <img src={source.url(filePath(run, "image.png"))} alt="" className={onCell ? "behind" : undefined} draggable={false} />}
        {onCell && <CellHeat heat={heat} />}
        <canvas ref={canvas} aria-hidden="true" />
      </div>
      <p className="hint painter-place" role="status">{at ? w.select.keyPlace(at.x, at.y, isOn(patches, steps, at)) : where}</p>
    </div>
  );
}

function ring(context: CanvasRenderingContext2D, x: number, y: number, radius: number): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  for (const [style, width] of [["#000b", 3], ["#fff", 1.25]] as const) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }
}

// The line around what is chosen, so that it is seen on any picture.
function edge(context: CanvasRenderingContext2D, { cells, grid: [rows, columns] }: Patches, ink: string, width: number, height: number): void {
  const path = new Path2D();
  path.addPath(new Path2D(outline(cells, columns, rows)), new DOMMatrix([width / columns, 0, 0, height / rows, 0, 0]));
  for (const [style, wide] of [["#000a", 3], [ink, 1.5]] as const) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.stroke(path);
  }
}

const isOn = (patches: Patches | null, grid: Grid, { x, y }: Point): boolean => patches === null || cover(patches, grid)[y * grid[1] + x]! >= 0.5;

export function finest(cells: readonly Cell[]): Grid {
  return cells.reduce<Grid>((best, { grid }) => (grid[0] * grid[1] > best[0] * best[1] ? grid : best), [1, 1]);
}

// The grids of a model's cells, finest first.
export function gridsOf(cells: readonly Cell[]): Grid[] {
  const found = new Map(cells.map(({ grid }) => [gridText(grid), grid as Grid]));
  return [...found.values()].sort((a, b) => b[0] * b[1] - a[0] * a[1]);
}

function CellHeat({ heat }: { heat: Heat | null }) {
  const colours = useStore((state) => state.colours);
  const painting = useMemo(() => heat && { heat, range: extent([heat.values]), colours, smooth: false, opacity: 0.9, look: "colour" as const, outlines: [] }, [heat, colours]);
  return <HeatCanvas painting={painting} />;
}

// What the atlas shows in a cell now; asked again while it is on its way.
function useHeat(cell: Cell | null): Heat | null {
  const steps = useStore((state) => state.selection.steps);
  const word = useStore((state) => state.selection.word);
  const content = useAtlas((state) => state.content);
  const handle = useAtlas((state) => state.handle);
  const [heat, setHeat] = useState<Heat | null>(null);
  useEffect(() => {
    setHeat(null);
    if (!cell || !handle) return;
    const [height, width] = cell.grid;
    let tries = 0;
    const look = () => {
      const values = new Float32Array(width * height);
      for (let i = 0; i < values.length; i++) {
        const value = handle.valueAt(cell, { x: i % width, y: Math.floor(i / width) });
        if (value === null) return false;
        values[i] = value;
      }
      setHeat({ values, width, height });
      return true;
    };
    const timer = window.setInterval(() => {
      if (look() || ++tries > 40) window.clearInterval(timer);
    }, 150);
    if (look()) window.clearInterval(timer);
    return () => window.clearInterval(timer);
  }, [cell, handle, steps, word, content]);
  return heat;
}
