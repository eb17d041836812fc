// A word's attention mass over the steps as a strip of colours, from its own least to its greatest.

import { memo, useEffect, useMemo, useRef } from "react";
import { level, table } from "../../maps/colours";
import { extent, type Series } from "../../maps/series";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { number } from "../../maps/measure";
import { dragHandlers } from "./drag";

export const Strip = memo(function Strip({ label, series, peak, onStep }: { label: string; series: Series | null; peak: number | null | undefined; onStep: (share: number) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = useStore((state) => state.colours);
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context || !series) return;
    if (element.width !== series.mass.length || element.height !== 1) Object.assign(element, { width: series.mass.length, height: 1 });
    const range = extent([series.mass]);
    const lut = table(colours);
    const image = context.createImageData(series.mass.length, 1);
    series.mass.forEach((value, i) => {
      const at = 3 * Math.round(level(value, range) * 255);
      image.data.set([lut[at]!, lut[at + 1]!, lut[at + 2]!, 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
  }, [series, colours]);
  const place = series && peak !== null && peak !== undefined ? series.steps.indexOf(peak) : -1;
  const ends = useMemo(() => (series ? extent([series.mass]) : null), [series]);
  return (
    <div className="strip-cell" {...dragHandlers(onStep)}>
      <canvas ref={canvas} className="strip" role="img" aria-label={ends ? `${label}, ${t.reading.mass}: ${number(ends[0])} – ${number(ends[1])}${peak !== null && peak !== undefined ? `, ${t.reading.moments.peak} ${peak}` : ""}` : label} />
      {place >= 0 && <span className="strip-mark" aria-hidden="true" style={{ left: `${(100 * (place + 0.5)) / series!.mass.length}%` }} />}
    </div>
  );
});
