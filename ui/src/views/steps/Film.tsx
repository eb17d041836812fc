// The pictures predicted on the way, one a step, on the axis of the scrubber; those that are held, as they come.

import { memo } from "react";
import { heldSteps, previewSteps, usePreviews } from "../../state/previews";
import type { Recording } from "../../state/run";
import { t } from "../../text";
import { dragHandlers } from "./drag";

// More than some forty are too narrow to see: then each picture stands for several steps.
const MOST = 40;

export const Film = memo(function Film({ recording, now, onStep, ready }: { recording: Recording; now: number | null; onStep: (share: number) => void; ready: boolean }) {
  const shots = usePreviews(recording, ready);
  const held = heldSteps(previewSteps(recording), recording.run).filter((step) => recording.steps.includes(step));
  if (held.length === 0) return null;
  const pictures = held.filter((_, i) => i % Math.ceil(held.length / MOST) === 0);
  const shown = now === null ? -1 : pictures.findLastIndex((step) => step <= now);
  return (
    <div className="lane">
      <span className="lane-name" aria-hidden="true">{t.steps.film}</span>
      <div className="film" aria-hidden="true" {...dragHandlers(onStep)}>
        {pictures.map((step) => {
          const shot = shots.get(step);
          return shot ? <img key={step} src={shot.address} alt="" draggable={false} /> : <span key={step} />;
        })}
        {shown >= 0 && <i style={{ left: `${(100 * shown) / pictures.length}%`, width: `${100 / pictures.length}%` }} />}
      </div>
    </div>
  );
});
