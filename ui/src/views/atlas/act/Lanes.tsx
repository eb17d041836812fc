// The steps of each layer that is shown, on the axis of the scrubber.

import type { AtlasViewProps } from "../view";
import { WindowLane } from "../../steps/WindowLane";
import { useAct } from "./store";
import { colourOf } from "./work";

export function Lanes({ recording: { steps } }: AtlasViewProps) {
  const { work, change } = useAct();
  if (steps.length === 0) return null;
  return (
    <div className="layer-lanes">
      {work.layers.map((layer, i) => layer.visible && (
        <WindowLane
          key={i}
          label={layer.name}
          hue={colourOf(i)}
          window={layer.window ?? { from: 0, to: steps.length - 1 }}
          count={steps.length}
          onChange={({ from, to }) => {
            const window = from === 0 && to === steps.length - 1 ? null : { from, to };
            change({ ...work, now: i, layers: work.layers.map((each, place) => (place === i ? { ...each, window } : each)) }, "steps");
          }}
        />
      ))}
    </div>
  );
}
