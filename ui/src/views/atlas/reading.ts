// The number at a place of the atlas: as the bytes tell it at once; resting there asks for the value as it was computed.

import { useEffect, useState } from "react";
import { selectionText } from "../../selection";
import type { Cursor } from "./state";
import { cellMass, valueAt } from "./tiles";
import type { AtlasViewProps } from "./view";

export interface Reading {
  value: number | null; // of the patch; null where a whole head is meant
  mean: number | null; // of the head's map
  error: number; // by how much `value` may be off
  exact: boolean;
  reduced: boolean; // the patch is one of several that came as their mean
}

export function useReading(view: AtlasViewProps, at: Cursor | null): Reading | null {
  const precise = usePrecise(view, at);
  const found = readingAt(view, at);
  return found && precise !== null && found.value !== null ? { ...found, value: precise, error: 0, exact: true, reduced: false } : found;
}

// As the bytes tell it: of the detail where it is there, else of the overview.
export function readingAt({ cells, tiles, fine, slot }: Pick<AtlasViewProps, "cells" | "tiles" | "fine" | "slot">, at: Cursor | null): Reading | null {
  const cell = at && cells[at.cell];
  if (!cell || !tiles || tiles.place[cell.index]! < 0) return null;
  const mean = cellMass(tiles, slot, cell.index);
  if (!at.patch) return { value: null, mean, error: 0, exact: true, reduced: false };
  const near = fine && fine.place[cell.index]! >= 0 ? fine : null;
  const from = near ?? tiles;
  const [width, height] = [from.width[cell.index]!, from.height[cell.index]!];
  const found = valueAt(from, near ? 0 : slot, cell.index, Math.floor((at.patch.x * width) / cell.grid[1]), Math.floor((at.patch.y * height) / cell.grid[0]));
  return found && { value: found.value, mean, error: found.error, exact: found.error === 0, reduced: width < cell.grid[1] };
}

// Float32 as computed, of the whole head at once. The server knows it for the attention to words.
function usePrecise({ recording, cells, tiles, step, word }: AtlasViewProps, at: Cursor | null): number | null {
  const [known, setKnown] = useState<{ key: string; values: number[][] } | null>(null);
  const cell = at && cells[at.cell];
  const able = recording.source.server !== null && tiles?.content.family === "word" && word !== null && tiles.content.word === word.index;
  const asked = cell && able ? selectionText({ steps: step === null ? "all" : String(step), sites: cell.site, heads: String(cell.head), word: word.label, region: null, concept: null }) : null;
  const key = asked && `${recording.run.id} ${recording.run.version} ${asked}`;
  const wanted = key !== null && at?.patch != null && known?.key !== key;
  useEffect(() => {
    if (!wanted || !asked) return;
    let going = true;
    const timer = window.setTimeout(() => {
      const path = `api/runs/${encodeURIComponent(recording.run.id)}/map`;
      recording.source.server!.send<{ values: number[][] }>("POST", path, { selection: asked, size: "native", format: "json" }).then(
        ({ values }) => going && cell && values.length === cell.grid[0] && setKnown({ key: key!, values }),
        () => undefined,
      );
    }, 300);
    return () => {
      going = false;
      window.clearTimeout(timer);
    };
  }, [wanted, key]);
  return at?.patch && known?.key === key ? (known.values[at.patch.y]?.[at.patch.x] ?? null) : null;
}
