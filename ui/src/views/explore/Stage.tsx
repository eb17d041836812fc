// The picture, and the map over it: read by pointing, asked by clicking or drawing.

import { useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import { Legend } from "./Legend";
import { HeatCanvas } from "./HeatCanvas";
import { ObjectShapes } from "./ObjectsPanel";
import { Picture } from "./Picture";
import { measure } from "../../maps/measure";
import { boxRegion, lassoRegion, pixelRegion, shapeOf, type Point } from "../../maps/regions";
import { extent, meanOver } from "../../maps/series";
import type { Painting } from "../../maps/heat";
import { previewSteps, usePreviews, useShot, type Shot } from "../../state/previews";
import { labelSeries, shownPicture } from "../../state/run";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { colourRange, RGB, type RunView } from "./view";
import { summaryOf } from "./summary";

export type Tool = "read" | "pixel" | "box" | "lasso";

export function Stage(view: RunView & { tool: Tool; outlined: boolean }) {
  const { recording, selection, maps, question, tool, outlined } = view;
  const { run } = recording;
  const size = { width: run.width ?? 1, height: run.height ?? 1 };
  const { opacity, colours, smooth, look, behind, range: mode, also, place } = useStore();
  const { set, select } = useStore.getState();
  const picture = usePicture(view, behind);
  const { range } = useMemo(() => colourRange(view, mode), [maps, question.heat, question.series, mode]);

  const painting = useMemo<Painting | null>(() => {
    if (!question.heat) return null;
    const outlines = also.flatMap((label, i) => {
      const series = labelSeries(recording.words, maps, label);
      const heat = series && meanOver(series, question.steps);
      if (!heat) return [];
      // Half way between the map's own least and greatest value.
      const [low, high] = extent([heat.values]);
      return [{ heat, at: (low + high) / 2, colour: RGB[i]! }];
    });
    return { heat: question.heat, range, colours, smooth, opacity: opacity / 100, look, outlines };
  }, [question.heat, question.steps, range, colours, smooth, opacity, look, also, maps, recording]);

  const [drawn, setDrawn] = useState<Point[]>([]);
  const frame = useRef<HTMLDivElement>(null);
  const placeOf = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    const inside = (value: number) => Math.max(0, Math.min(1 - 1e-6, value));
    return { x: inside((event.clientX - box.left) / box.width), y: inside((event.clientY - box.top) / box.height) };
  };
  const pixelOf = ({ x, y }: Point): Point => ({ x: x * size.width, y: y * size.height });
  const ask = (region: string | null) => {
    setDrawn([]);
    if (region) select({ region, word: null, concept: null });
  };

  const down = (event: PointerEvent) => {
    if (event.button !== 0 || tool === "read") return;
    const at = pixelOf(placeOf(event));
    if (tool === "pixel") return ask(pixelRegion(at));
    event.currentTarget.setPointerCapture(event.pointerId);
    setDrawn([at]);
  };
  const move = (event: PointerEvent) => {
    const at = placeOf(event);
    set({ place: at });
    if (drawn.length === 0) return;
    const pixel = pixelOf(at);
    if (tool === "box") setDrawn([drawn[0]!, pixel]);
    else if (Math.hypot(pixel.x - drawn.at(-1)!.x, pixel.y - drawn.at(-1)!.y) * 150 > size.width) setDrawn([...drawn, pixel]);
  };
  const up = (event: PointerEvent) => {
    if (drawn.length === 0) return;
    if (tool === "box") ask(boxRegion(drawn[0]!, pixelOf(placeOf(event))));
    else ask(lassoRegion(drawn) ?? pixelRegion(drawn[0]!));
  };
  const keys = (event: KeyboardEvent) => {
    const { heat } = question;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") set({ place: null });
    if (event.key === "Enter" && place && run.can.regions) {
      event.preventDefault();
      ask(pixelRegion(pixelOf(place)));
    }
    if (!step || !heat) return;
    event.preventDefault();
    event.stopPropagation();
    const { peak } = measure(heat);
    const cell = place ? { x: Math.floor(place.x * heat.width) + step[0]!, y: Math.floor(place.y * heat.height) + step[1]! } : peak;
    const inside = (value: number, count: number) => (Math.max(0, Math.min(count - 1, value)) + 0.5) / count;
    set({ place: { x: inside(cell.x, heat.width), y: inside(cell.y, heat.height) } });
  };

  const asked = selection.region === null ? null : shapeOf(selection.region);
  const when = t.run.when(question.steps, recording.steps.length);
  const name = question.kind === "region" ? question.label : `“${question.label}”`;
  return (
    <section className="mat stage" id="view" tabIndex={-1} aria-label={t.run.map}>
      <div className="panes">
        <figure className="pane pane-picture">
          <div className="frame read" onPointerMove={(event) => set({ place: placeOf(event) })} onPointerLeave={() => set({ place: null })}>
            {picture && <Picture shot={picture.shot} address={picture.address} alt={picture.caption} />}
            {outlined && <ObjectShapes recording={recording} />}
            <PatchMark view={view} />
          </div>
          <figcaption>{picture?.caption ?? t.run.nothing}</figcaption>
        </figure>
        <figure className="pane">
          <div
            ref={frame}
            className={`frame ${tool === "read" ? "read" : "asked"}`}
            data-testid="map"
            tabIndex={0}
            role="application"
            aria-roledescription="map"
            aria-label={t.run.mapLabel(name, when)}
            aria-describedby="map-summary"
            onPointerDown={down}
            onPointerMove={move}
            onPointerUp={up}
            onPointerCancel={() => setDrawn([])}
            onPointerLeave={() => set({ place: null })}
            onBlur={() => set({ place: null })}
            onKeyDown={keys}
          >
            {picture && <Picture shot={picture.shot} address={picture.address} alt="" muted={look !== "light"} />}
            <HeatCanvas painting={painting} />
            {outlined && <ObjectShapes recording={recording} />}
            <svg viewBox={`0 0 ${size.width} ${size.height}`} preserveAspectRatio="none" aria-hidden="true">
              {drawn.length > 1 && <Outline kind={tool === "box" ? "box" : "contour"} points={drawn} />}
              {drawn.length === 0 && asked && <Outline kind={asked.kind} points={asked.points} />}
            </svg>
            <PatchMark view={view} />
          </div>
          <figcaption>
            <span>{question.heat ? t.run.patches(question.heat.width, question.heat.height, smooth) : t.run.nothing}</span>
            <span>{when}</span>
          </figcaption>
          <Legend view={view} />
        </figure>
      </div>
      <p id="map-summary" className="unseen">{summaryOf(view)}</p>
    </section>
  );
}

function Outline({ kind, points }: { kind: "pixel" | "box" | "contour"; points: Point[] }) {
  if (kind === "contour") {
    const text = points.map(({ x, y }) => `${x},${y}`).join(" ");
    return <><polygon className="drawing-under" points={text} /><polygon className="drawing" points={text} /></>;
  }
  const [a, b = a] = points as [Point, Point?];
  const box = { x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), width: Math.abs(b.x - a.x) + 1, height: Math.abs(b.y - a.y) + 1 };
  return <><rect className="drawing-under" {...box} /><rect className="drawing" {...box} /></>;
}

function PatchMark({ view: { question } }: { view: RunView }) {
  const place = useStore((state) => state.place);
  const { heat } = question;
  if (!place || !heat) return null;
  const x = Math.floor(place.x * heat.width);
  const y = Math.floor(place.y * heat.height);
  const style = { left: `${(100 * x) / heat.width}%`, top: `${(100 * y) / heat.height}%`, width: `${100 / heat.width}%`, height: `${100 / heat.height}%` };
  return <div className="patch" style={style} aria-hidden="true" />;
}

// The finished picture, or the one predicted at the step shown.
function usePicture({ recording, question }: RunView, behind: "step" | "final"): { shot: Shot | null; address: string; caption: string } | null {
  const { source, run } = recording;
  const previews = useMemo(() => previewSteps(recording), [recording]);
  const shots = usePreviews(recording, question.heat !== null);
  const only = question.steps.length === 1 ? question.steps[0]! : null;
  const step = only !== null && behind === "step" && previews.includes(only) ? only : run.has_image ? null : (previews.at(-1) ?? null);
  const found = useShot(recording, shots, step);
  if (found) return { shot: found.shot, address: found.address, caption: t.run.predicted(found.step) };
  return run.has_image ? { shot: null, address: source.url(shownPicture(run)), caption: t.run.finished } : null;
}
