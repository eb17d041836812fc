// Objects found from the maps: listed, and outlined over the picture.

import { useMemo } from "react";
import { useResource } from "../../state/resource";
import { filePath, type Recording } from "../../state/run";
import { useStore } from "../../state/store";
import { parseSelection } from "../../selection";
import { Check, Waiting } from "../../parts/controls";
import { maskOf, outline } from "../../maps/masks";
import { number, percent } from "../../maps/measure";
import { t } from "../../text";
import type { Objects } from "../../api/types";
import type { RunView } from "./view";

function useObjects({ source, run }: Recording) {
  return useResource(`${run.id} ${run.version} objects`, () => source.json<Objects>(filePath(run, "objects.json")));
}

export function ObjectsPanel({ recording, outlined, onOutlined }: RunView & { outlined: boolean; onOutlined: (on: boolean) => void }) {
  const found = useObjects(recording);
  const { set, select } = useStore.getState();
  const area = (recording.run.width ?? 1) * (recording.run.height ?? 1);
  if (found.loading) return <Waiting />;
  if (!found.value?.available) return <p className="hint">{found.error?.message ?? found.value?.why ?? t.objects.none}</p>;
  if (found.value.objects.length === 0) return <p className="hint">{t.objects.none}</p>;
  return (
    <div className="stack">
      <Check label={t.objects.show} checked={outlined} onChange={onOutlined} />
      <div>
        {found.value.objects.map((each) => {
          const selection = parseSelection(each.selection);
          return (
            <button key={each.index} type="button" className="sentence" onPointerEnter={() => set({ lent: selection })} onPointerLeave={() => set({ lent: null })} onClick={() => { set({ lent: null }); select(selection); }}>
              <strong>{each.label}</strong>
              <span className="hint"> · {t.objects.area(percent(each.area / area))}{each.score !== null && ` · ${t.objects.score(number(each.score))}`}</span>
            </button>
          );
        })}
      </div>
    </div>
  );
}

export function ObjectShapes({ recording }: { recording: Recording }) {
  const { value } = useObjects(recording);
  const { width, height } = recording.run;
  const shapes = useMemo(() => (value?.objects ?? []).map((each) => ({ each, path: outline(maskOf(each.rle), each.rle.size[1], each.rle.size[0]) })), [value]);
  if (!value?.available || !width || !height) return null;
  return (
    <>
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={value.objects.map((each) => each.label).join(", ")} data-testid="objects">
        {shapes.map(({ each, path }) => (
          <g key={each.index} className="object-shape">
            <path className="under" d={path} />
            <path d={path} />
            <rect x={each.box[0]} y={each.box[1]} width={each.box[2]} height={each.box[3]} strokeDasharray="3 3" strokeOpacity={0.6} />
          </g>
        ))}
      </svg>
      {value.objects.map((each) => (
        <span key={each.index} className="object-label" style={{ left: `${(100 * each.box[0]) / width}%`, top: `${(100 * Math.max(each.box[1], height * 0.06)) / height}%` }}>{each.label}</span>
      ))}
    </>
  );
}
