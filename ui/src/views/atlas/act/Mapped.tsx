// What of each of the model's grids the patches in hand cover: what an edit weighs its change by, patch by patch.

import { useEffect, useRef } from "react";
import { percent } from "../../../maps/measure";
import { cover, gridText, type Grid, type Patches } from "../../../maps/patches";
import { paintShares } from "./overlay";
import { liveStroke, onStroke } from "./stroke";
import { w } from "./text";

export function Mapped({ patches, grids, colour }: { patches: Patches | null; grids: readonly Grid[]; colour: string }) {
  return (
    <div className="stack mapped">
      <p className="hint">{w.select.mapped}</p>
      <ul className="mapped-grids" aria-label={w.select.mapped}>
        {grids.map((grid) => <MappedGrid key={gridText(grid)} patches={patches} grid={grid} colour={colour} />)}
      </ul>
    </div>
  );
}

function MappedGrid({ patches, grid, colour }: { patches: Patches | null; grid: Grid; colour: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const name = gridText(grid);
  useEffect(() => {
    let frame = 0;
    const draw = () => canvas.current && paintShares(canvas.current, liveStroke()?.patches ?? patches, grid, colour);
    draw();
    const stop = onStroke(() => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(draw);
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [patches, name, colour]);
  const shares = patches ? cover(patches, grid) : null;
  const area = shares ? shares.reduce((sum, share) => sum + share, 0) / shares.length : 1;
  const whole = shares ? shares.filter((share) => share > 1 - 1e-9).length : grid[0] * grid[1];
  const part = shares ? shares.filter((share) => share > 1e-9 && share <= 1 - 1e-9).length : 0;
  return (
    <li>
      <canvas ref={canvas} data-grid={name} style={{ aspectRatio: grid[1] / grid[0] }} role="img" aria-label={w.select.mappedGrid(name, percent(area), whole, part)} />
      <span aria-hidden="true">{name.replace("x", " × ")}<br />{percent(area)}</span>
    </li>
  );
}
