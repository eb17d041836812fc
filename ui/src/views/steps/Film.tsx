// The pictures predicted on the way, one a step, on the axis of the scrubber; fetched when the map is there.

import { filePath, type Recording } from "../../state/run";
import { t } from "../../text";
import { dragHandlers } from "./drag";

export function Film({ recording: { source, run, steps }, now, onStep, ready }: { recording: Recording; now: number | null; onStep: (share: number) => void; ready: boolean }) {
  const shown = new Set(run.timetable.filter((step) => step.preview).map((step) => step.index));
  if (!steps.some((step) => shown.has(step))) return null;
  // More than some forty are too narrow to see: then each picture stands for several steps.
  const every = Math.ceil(steps.length / 40);
  const pictures = steps.filter((step, i) => shown.has(step) && i % every === 0);
  return (
    <div className="lane">
      <span className="lane-name" aria-hidden="true">{t.steps.film}</span>
      <div className="film" aria-hidden="true" {...dragHandlers(onStep)}>
        {ready && pictures.map((step) => (
          <img key={step} className={now !== null && now >= step && now < step + every ? "now" : ""} src={source.url(filePath(run, `previews/${String(step).padStart(4, "0")}.webp`))} alt="" draggable={false} />
        ))}
      </div>
    </div>
  );
}
