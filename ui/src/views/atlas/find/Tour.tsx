// The tour: from a whole model to one part of one picture, in eight steps. Each can be done by hand, or be done for one.

import { useEffect, useRef, useState } from "react";
import { Button } from "../../../parts/controls";
import { ended } from "../../../state/jobs";
import { useLibrary } from "../../../state/source";
import { useStore } from "../../../state/store";
import type { AtlasViewProps } from "../view";
import { busy, startDrawing, startSearch, useRunning } from "../act/running";
import { useAct } from "../act/store";
import { w } from "../act/text";
import { chooseHeads } from "../act/tools";
import { current, editsOf, groundOf, withLayer, workText } from "../act/work";
import { finest } from "../act/Painter";
import { useAtlas } from "../state";
import { searchRows } from "./effects";
import { baseOf, discOf, isBase, tourOf, type TourData } from "./tours";

const BEST = 5;

interface Stop {
  title: string;
  text: string;
  panel?: string; // of the side, by its id
  at?: string; // what is pointed at
  done: boolean;
  needed?: boolean; // there is no going on without it
  act: () => Promise<void> | void;
}

export function Tour(view: AtlasViewProps) {
  const place = useAct((state) => state.tour);
  const set = useAct((state) => state.set);
  // Where the recording that comes with the page is looked at, the tour draws its own at the server.
  const { source } = useLibrary();
  if (!source.server || source.site.read_only) return null;
  if (place === null) return <div className="tour-start atlas-over"><Button onClick={() => set({ tour: 0 })}>{w.tour.start}</Button></div>;
  return <Walk view={view} place={place} />;
}

function Walk({ view, place }: { view: AtlasViewProps; place: number }) {
  const { recording, cells, selection } = view;
  const { run, steps } = recording;
  const { source, runs, reload } = useLibrary();
  const { set, change, tool } = useAct();
  const work = useAct((state) => state.work);
  const { draw, find, starting, error: failed } = useRunning();
  const cursor = useAtlas((state) => state.cursor);
  const handle = useAtlas((state) => state.handle);
  const go = useStore((state) => state.go);
  const select = useStore((state) => state.select);
  const [tour, setTour] = useState<TourData | null>(null);
  const [waiting, setWaiting] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    let wanted = true;
    tourOf(source, run.model ?? "").then((found) => wanted && setTour(found), (reason: Error) => wanted && setError(reason));
    return () => {
      wanted = false;
    };
  }, [source, run.model]);

  const layer = current(work);
  const ready = tour !== null && isBase(tour, run) && recording.source.server !== null;
  const rows = find ? searchRows(find) : [];
  const window = tour && { from: Math.round(tour.window[0] * steps.length), to: Math.max(0, Math.round(tour.window[1] * steps.length) - 1) };
  const column = [...cells].reverse().find((cell) => cell.kind !== "self" && cell.grid[0] === finest(cells)[0]);
  const stops: Stop[] = tour === null ? [] : [
    {
      ...w.tour.stops.picture(tour),
      done: ready,
      needed: true,
      act: async () => {
        if (ready) return;
        const id = await baseOf(tour, source, runs, run.model ?? "");
        await reload();
        go({ view: "atlas", run: id, atlas: "" } as Parameters<typeof go>[0], { selection: { ...selection, steps: "all", sites: "all", heads: "all", word: tour.thing, concept: null, region: null } });
      },
    },
    {
      ...w.tour.stops.model(tour),
      at: "[data-testid=atlas]",
      done: cursor !== null,
      act: () => {
        select({ word: tour.thing });
        if (!column) return;
        useAtlas.getState().set({ cursor: { cell: column.index, patch: null } });
        handle?.goTo(column, null, { zoom: true });
      },
    },
    {
      ...w.tour.stops.search(tour),
      panel: "find",
      at: "[data-testid=search]",
      done: find !== null && !busy(find) && rows.length > 0,
      needed: true,
      act: () => {
        const crossing = cells.filter(({ kind }) => kind !== "self");
        const top = finest(crossing);
        const sites = [...new Set(crossing.filter(({ grid }) => grid[0] === top[0]).map(({ site }) => site))];
        return startSearch(source, run.id, { word: tour.thing, sites: sites.join(","), seeds: 2 }, tour.thing);
      },
    },
    {
      ...w.tour.stops.choose(BEST),
      panel: "find",
      at: "[data-testid=effects]",
      done: layer.heads.length > 0,
      act: () => {
        handle?.fit();
        chooseHeads(new Set(rows.slice(0, BEST).map(({ id }) => id)), cells, "query");
      },
    },
    {
      ...w.tour.stops.paint(tour),
      panel: "select",
      at: "[data-testid=paint]",
      done: layer.patches !== null && layer.patches.cells.includes(1),
      act: async () => {
        const patches = await discOf(tour, recording);
        if (tool === "move") set({ tool: "brush" });
        const { work: now } = useAct.getState();
        change(withLayer(now, { patches }), "tour");
      },
    },
    {
      ...w.tour.stops.say(tour),
      panel: "change",
      at: "#act-text",
      done: layer.kind === "encode" && layer.text.trim() !== "",
      act: () => {
        const { work: now } = useAct.getState();
        change(withLayer(now, { kind: "encode", text: tour.text, window, name: tour.part }), "tour");
      },
    },
    {
      ...w.tour.stops.draw(),
      panel: "change",
      at: "[data-testid=draw]",
      done: work.result !== null && (draw === null || ended(draw)),
      needed: true,
      act: () => {
        const { work: now } = useAct.getState();
        return startDrawing(source, run.id, editsOf(current(now), groundOf(view)), false, workText({ ...now, result: null }), `${tour.part}: ${tour.text}`);
      },
    },
    {
      ...w.tour.stops.end(tour),
      panel: "change",
      at: "[data-testid=result]",
      done: true,
      act: () => undefined,
    },
  ];
  const wrong = error ?? failed ?? (find?.error ? new Error(find.error.message) : null);
  const stop = stops[Math.min(place, stops.length - 1)];
  const working = waiting || starting !== null || (place === 2 && busy(find)) || (place === 6 && draw !== null && !ended(draw));

  useEffect(() => {
    if (stop?.panel) openPanel(stop.panel);
    box.current?.focus({ preventScroll: true });
  }, [place, stop?.panel]);
  // What is pointed at may come later, with its panel.
  useEffect(() => {
    if (!stop?.at) return;
    let marked: Element | null = null;
    const mark = () => {
      const found = document.querySelector(stop.at!);
      if (found === marked) return;
      marked?.removeAttribute("data-tour");
      found?.setAttribute("data-tour", "here");
      if (found && !marked) found.scrollIntoView({ block: "center" });
      marked = found;
    };
    const timer = globalThis.setInterval(mark, 200);
    return () => {
      globalThis.clearInterval(timer);
      marked?.removeAttribute("data-tour");
    };
  }, [stop?.at]);

  const doIt = async () => {
    setError(null);
    setWaiting(true);
    try {
      await stop?.act();
    } catch (reason) {
      setError(reason as Error);
    }
    setWaiting(false);
  };
  const end = () => set({ tour: null });
  return (
    <section ref={box} className="tour atlas-over" tabIndex={-1} aria-label={w.tour.name} data-testid="tour" onKeyDown={(event) => event.key === "Escape" && end()}>
      {stop && (
        <>
          <div className="row spread">
            <span className="hint">{w.tour.label(place + 1, stops.length)}</span>
            <Button kind="quiet" aria-label={w.tour.close} onClick={end}>×</Button>
          </div>
          <div aria-live="polite" className="stack">
            <h2>{stop.title}</h2>
            <p>{stop.text}</p>
          </div>
          {wrong && <p className="notice" role="alert">{w.tour.failed(wrong.message)}</p>}
          <div className="row">
            {place > 0 && <Button kind="quiet" onClick={() => set({ tour: place - 1 })}>{w.tour.back}</Button>}
            {!stop.done && <Button disabled={working} onClick={() => void doIt()}>{working ? w.tour.waiting : w.tour.doIt}</Button>}
            {place < stops.length - 1 ? (
              <Button kind={stop.done ? "main" : ""} disabled={stop.needed && !stop.done} onClick={() => set({ tour: place + 1 })}>{w.tour.next}</Button>
            ) : (
              <Button kind="main" onClick={end}>{w.tour.close}</Button>
            )}
          </div>
        </>
      )}
      {!stop && !error && <p className="hint" role="status">{w.tour.waiting}</p>}
      {!stop && error && <p className="notice" role="alert">{w.tour.failed(error.message)}</p>}
    </section>
  );
}

// Tabs open when they get the focus.
const openPanel = (id: string) => document.querySelector<HTMLElement>(`[role="tab"][data-panel="${id}"]`)?.focus({ preventScroll: true });
