// Play, loop, speed, all steps; and which step it is.

import type { StepInfo } from "../../api/types";
import { Button, Check } from "../../parts/controls";
import { number } from "../../maps/measure";
import { useStore } from "../../state/store";
import { t } from "../../text";

const SPEEDS = [2, 4, 8, 16, 30];

export function Transport({ steps, now, timetable }: { steps: number[]; now: number | null; timetable: readonly StepInfo[] }) {
  const { playing, loop, speed, selection, set, select } = useStore();
  const info = now === null ? null : timetable.find((step) => step.index === now);
  return (
    <div className="transport">
      <Button className="round" aria-label={playing ? t.steps.pause : t.steps.play} onClick={() => set({ playing: !playing })}>
        <svg viewBox="0 0 16 16" aria-hidden="true"><path d={playing ? "M4 2.5h3v11H4zM9 2.5h3v11H9z" : "M5 2.5v11l8.5-5.5z"} /></svg>
      </Button>
      <p className="transport-step" data-testid="step">
        <b>{now === null ? t.run.when(steps, steps.length) : t.reading.step(now)}</b>
        {info && info.log_snr !== null && Number.isFinite(info.log_snr) && t.steps.logSnr(number(info.log_snr))}
      </p>
      <Button aria-pressed={selection.steps === "all"} onClick={() => { set({ playing: false }); select({ steps: "all" }); }}>{t.steps.all}</Button>
      <Check label={t.steps.loop} checked={loop} onChange={(next) => set({ loop: next })} />
      <label className="row hint">
        {t.steps.speed}
        <select className="plain" value={speed} onChange={(event) => set({ speed: Number(event.target.value) })}>
          {SPEEDS.map((each) => <option key={each} value={each}>{t.steps.perSecond(each)}</option>)}
        </select>
      </label>
    </div>
  );
}
