// The small controls, on Radix primitives where there is behaviour to get right.

import { Slider as RadixSlider, ToggleGroup } from "radix-ui";
import type { ComponentProps, ReactNode } from "react";
import { t } from "../text";

export function Button({ kind = "", className = "", ...props }: ComponentProps<"button"> & { kind?: "" | "main" | "quiet" }) {
  return <button type="button" className={`button ${kind} ${className}`} {...props} />;
}

// One of several, as a row; arrow keys move, a press chooses.
export function Segmented<Value extends string>({ label, value, options, onChange, disabled }: {
  label: string;
  value: Value;
  options: Readonly<Partial<Record<Value, string>>>;
  onChange: (value: Value) => void;
  disabled?: readonly Value[];
}) {
  return (
    <ToggleGroup.Root type="single" className="segmented" aria-label={label} value={value} onValueChange={(next) => next && onChange(next as Value)}>
      {(Object.entries(options) as [Value, string][]).map(([each, name]) => (
        <ToggleGroup.Item key={each} value={each} disabled={disabled?.includes(each)}>
          {name}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}

export function Slider({ label, value, min = 0, max = 100, step = 1, onChange }: {
  label: string;
  value: number;
  min?: number;
  max?: number;
  step?: number;
  onChange: (value: number) => void;
}) {
  return (
    <RadixSlider.Root className="slider" value={[value]} min={min} max={max} step={step} onValueChange={([next]) => next !== undefined && onChange(next)}>
      <RadixSlider.Track className="slider-track">
        <RadixSlider.Range className="slider-range" />
      </RadixSlider.Track>
      <RadixSlider.Thumb className="slider-thumb" aria-label={label} />
    </RadixSlider.Root>
  );
}

export function Pair({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="pair">
      <span>{label}</span>
      <div>{children}</div>
    </div>
  );
}

export function Check({ label, checked, onChange }: { label: string; checked: boolean; onChange: (checked: boolean) => void }) {
  return (
    <label className="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.target.checked)} />
      <span>{label}</span>
    </label>
  );
}


export function Waiting({ what = t.loading }: { what?: string }) {
  return (
    <p className="row hint" role="status">
      <span className="spinner" aria-hidden="true" />
      {what}
    </p>
  );
}

export function Failed({ error }: { error: Error }) {
  return (
    <p className="notice" role="alert">
      {t.failed(error.message)}
    </p>
  );
}

export function Progress({ share, label }: { share: number; label: string }) {
  return (
    <div className="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(100 * share)}>
      <span style={{ transform: `scaleX(${share})` }} />
    </div>
  );
}
