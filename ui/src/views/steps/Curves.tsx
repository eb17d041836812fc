// Curves of the chosen words over the steps.

import { memo, type CSSProperties } from "react";
import { number } from "../../maps/measure";
import { t } from "../../text";
import { dragHandlers } from "./drag";

export interface Curve {
  label: string;
  values: ArrayLike<number>;
  hue: string | undefined;
  primary: boolean;
}

export const Curves = memo(function Curves({ curves, count, onStep, title = t.reading.mass, signed = false }: {
  curves: readonly Curve[];
  count: number;
  onStep: (share: number) => void;
  title?: string;
  signed?: boolean;
}) {
  const all = curves.flatMap(({ values }) => Array.from(values));
  const top = Math.max(1e-12, ...all.map((value) => (signed ? Math.abs(value) : value)));
  const bottom = signed ? -top : 0;
  const y = (value: number) => 82 - ((value - bottom) / (top - bottom)) * 80;
  const told = curves.map(({ label, values }) => `${label}: ${number(values[0] ?? 0)} … ${number(values[values.length - 1] ?? 0)}`).join("; ");
  return (
    <div className="lane">
      <span className="curve-top" aria-hidden="true">{curves.length > 0 && `${signed ? "± " : ""}${number(top)}`}</span>
      <svg className="curves" viewBox={`0 0 ${count} 84`} preserveAspectRatio="none" role="img" aria-label={`${title}. ${told}. ${t.steps.table}`} {...dragHandlers(onStep)}>
        <rect width={count} height={84} fill="transparent" />
        {[bottom, (bottom + top) / 2, top].map((value) => <line key={value} className="grid" x1={0} x2={count} y1={y(value)} y2={y(value)} />)}
        {curves.map(({ label, values, hue, primary }) => (
          <polyline
            key={label}
            className={primary ? "primary" : ""}
            style={hue ? ({ "--hue": `var(${hue})` } as CSSProperties) : undefined}
            points={Array.from(values, (value, i) => `${i + 0.5},${y(value).toFixed(2)}`).join(" ")}
          />
        ))}
      </svg>
    </div>
  );
});
