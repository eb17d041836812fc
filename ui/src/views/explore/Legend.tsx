// The colour scale: always there, with its unit, its ends, and what the range is over.

import { useMemo, type CSSProperties } from "react";
import { gradient, level } from "../../maps/colours";
import { patchAt } from "../../maps/heat2d";
import { number } from "../../maps/measure";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { colourRange, type RunView } from "./view";

export function Legend({ view }: { view: RunView }) {
  const { question, maps } = view;
  const { colours, look, range: asked, place } = useStore();
  const { range: [low, high], mode } = useMemo(() => colourRange(view, asked), [maps, question.heat, question.series, asked]);
  const value = place && question.heat ? patchAt(question.heat, place) : null;
  const ramp = look === "light" ? "linear-gradient(to right, #090909, #e8e8e8)" : gradient(colours, "to right");
  return (
    <div className="legend" role="img" aria-label={t.view.legend(question.unit, number(low), number(high), t.view.ranges[mode])} data-testid="legend">
      <div className="legend-ramp ramp" style={{ background: ramp }}>
        {value !== null && <span className="legend-mark" style={{ "--at": level(value, [low, high]) } as CSSProperties} />}
      </div>
      <div className="legend-ends">
        <span data-testid="legend-low">{number(low)}</span>
        <span className="legend-unit">{question.unit} · {t.view.ranges[mode]}</span>
        <span data-testid="legend-high">{number(high)}</span>
      </div>
    </div>
  );
}
