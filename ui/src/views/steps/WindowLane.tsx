// A window of steps, drawn on the timeline; the recommended one is dashed.

import { useRef, type CSSProperties, type PointerEvent } from "react";
import { t } from "../../text";

export interface Window {
  from: number; // place of the first step
  to: number; // and of the last
}

// The countdown 40 to 20 of 50 of the published recipe is steps 10 to 29; scaled to the number of steps.
export function recommended(count: number): Window {
  const from = Math.min(count - 1, Math.round(0.2 * count));
  return { from, to: Math.max(from, Math.round(0.6 * count) - 1) };
}

export function WindowLane({ window, count, onChange, label = t.steps.window, hue }: {
  window: Window;
  count: number;
  onChange: (window: Window) => void;
  label?: string;
  hue?: string; // any colour; the accent where none is given
}) {
  const begun = useRef<number | null>(null);
  const at = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - box.left) / box.width) * count)));
  };
  const span = ({ from, to }: Window) => ({ left: `${(100 * from) / count}%`, width: `${(100 * (to - from + 1)) / count}%` });
  return (
    <div className="lane" style={hue ? ({ "--window": hue } as CSSProperties) : undefined}>
      <span className="lane-name now">{label}</span>
      <div
        className="window-lane"
        data-testid="window"
        aria-hidden="true"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          begun.current = at(event);
          onChange({ from: begun.current, to: begun.current });
        }}
        onPointerMove={(event) => {
          if (begun.current === null) return;
          const now = at(event);
          onChange({ from: Math.min(begun.current, now), to: Math.max(begun.current, now) });
        }}
        onPointerUp={() => { begun.current = null; }}
      >
        <span className="window-span" style={span(window)} />
        <span className="window-wise" style={span(recommended(count))} />
      </div>
    </div>
  );
}
