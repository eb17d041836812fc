// Tools in the stage's bar, and what they draw over the cells.

import { useEffect, useRef } from "react";
import { Button } from "../../../parts/controls";
import type { AtlasViewProps } from "../view";
import { useAtlas } from "../state";
import { cellsMeant, drawLayers, drawOutline } from "./overlay";
import { forgetOthers } from "./running";
import { useAct, type Tool } from "./store";
import { liveStroke, onStroke } from "./stroke";
import { w } from "./text";
import { toolOf, type Rect } from "./tools";
import { colourOf } from "./work";

// A hand, a frame with a tick, a brush, an eraser, a box, a loop; back and on again.
const ICONS: Record<Tool | "undo" | "redo", string> = {
  move: "M8 1.2l2.2 2.6H8.8v3.4h3.4V5.8L14.8 8l-2.6 2.2V8.8H8.8v3.4h1.4L8 14.8l-2.2-2.6h1.4V8.8H3.8v1.4L1.2 8l2.6-2.2v1.4h3.4V3.8H5.8z",
  heads: "M2 2h5v5H2zm1.3 1.3v2.4h2.4V3.3zM9 2h5v5H9zM2 9h5v5H2zm1.3 1.3v2.4h2.4v-2.4zM9 9h5v5H9zm1.3 1.3v2.4h2.4v-2.4z",
  brush: "M12.9 1.6a1.6 1.6 0 0 1 1.5 1.5L8.6 9.7 6.3 7.4zM5.5 8.3l2.2 2.2c.2 2.4-1.7 3.9-5.9 3.6 1.5-.9 1.2-1.7 1.5-3.2.2-1.3 1-2.3 2.2-2.6z",
  eraser: "M9.3 2.2l4.5 4.5-6 6H14V14H5.6L2.2 10.6a1 1 0 0 1 0-1.4zM6.2 7.2L3.7 9.8l2.6 2.7h.3l2.2-2.2z",
  box: "M2 3h12v10H2zm1.4 1.4v7.2h9.2V4.4z",
  lasso: "M8 2c3.6 0 6.5 1.9 6.5 4.3S11.6 10.6 8 10.6c-.6 0-1.2 0-1.8-.2.2 1.7-.6 3-2.4 3.6l-.5-1.3c1.2-.4 1.7-1.2 1.5-2.7C2.8 9.3 1.5 8 1.5 6.3 1.5 3.9 4.4 2 8 2zm0 1.4c-2.9 0-5.1 1.3-5.1 2.9S5.1 9.2 8 9.2s5.1-1.3 5.1-2.9S10.9 3.4 8 3.4z",
  undo: "M6 3v2.5h3.5a4 4 0 0 1 0 8H5V12h4.5a2.5 2.5 0 0 0 0-5H6v2.5L2 6.2z",
  redo: "M10 3v2.5H6.5a4 4 0 0 0 0 8H11V12H6.5a2.5 2.5 0 0 1 0-5H10v2.5l4-3.3z",
};

function Icon({ name }: { name: keyof typeof ICONS }) {
  return <svg viewBox="0 0 16 16" aria-hidden="true"><path fillRule="evenodd" d={ICONS[name]} /></svg>;
}

export function Bar({ recording: { run }, cells }: AtlasViewProps) {
  const { work, tool, past, future, open, undo, redo, set } = useAct();
  const handle = useAtlas((state) => state.handle);
  const marquee = useRef<Rect | null>(null);
  useEffect(() => {
    open(run.id);
    forgetOthers(run.id);
  }, [run.id, open]);

  useEffect(() => {
    if (!handle) return;
    handle.setTool(toolOf(tool, handle, (rect) => {
      marquee.current = rect;
      handle.redraw();
    }));
    return () => handle.setTool(null);
  }, [handle, tool]);

  // The canvas over the atlas is there only while there is something to draw.
  const needed = tool !== "move" || cellsMeant(work, cells);
  useEffect(() => {
    if (!handle || !needed) return;
    const stopOverlay = handle.addOverlay(({ context }) => {
      const now = useAct.getState().work;
      drawLayers(context, handle, now);
      const at = useAtlas.getState().cursor;
      const cell = at && handle.cells[at.cell];
      const rect = cell && liveStroke() ? handle.rectOf(cell) : null;
      if (rect) drawOutline(context, rect, colourOf(now.now));
      if (marquee.current) band(context, marquee.current);
    });
    const stopStroke = onStroke(() => handle.redraw());
    return () => {
      stopOverlay();
      stopStroke();
    };
  }, [handle, needed]);
  useEffect(() => handle?.redraw(), [handle, work]);

  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
      if (typing || !(event.ctrlKey || event.metaKey) || event.altKey) return;
      const letter = event.key.toLowerCase();
      if (letter === "z" && !event.shiftKey) undo();
      else if ((letter === "z" && event.shiftKey) || letter === "y") redo();
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  }, [undo, redo]);

  const [back, on] = [past.at(-1), future[0]];
  return (
    <div className="act-bar">
      <div className="segmented icons" role="group" aria-label={w.select.tool}>
        {(Object.entries(w.select.tools) as [Tool, string][]).map(([name, title]) => (
          <button key={name} type="button" aria-pressed={tool === name} data-state={tool === name ? "on" : "off"} aria-label={title} title={title} onClick={() => set({ tool: name })}>
            <Icon name={name} />
          </button>
        ))}
      </div>
      <Button kind="quiet" disabled={!back} aria-label={back ? `${w.select.undo}: ${w.select.did[back.did]}` : w.select.undo} title={w.select.undo} onClick={undo}><Icon name="undo" /></Button>
      <Button kind="quiet" disabled={!on} aria-label={on ? `${w.select.redo}: ${w.select.did[on.did]}` : w.select.redo} title={w.select.redo} onClick={redo}><Icon name="redo" /></Button>
    </div>
  );
}

function band(context: CanvasRenderingContext2D, { x, y, width, height }: Rect): void {
  context.fillStyle = "#fff2";
  context.fillRect(x, y, width, height);
  for (const [style, wide] of [["#000c", 3], ["#fff", 1.25]] as const) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.strokeRect(x, y, width, height);
  }
}
