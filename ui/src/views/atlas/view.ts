// What every part of the atlas's view is given.

import type { ReactNode } from "react";
import type { Word } from "../../api/types";
import type { RunView } from "../explore/view";
import type { Laid } from "./arrange";
import type { AtlasInfo, Cell, Content } from "./cells";
import type { Masses } from "./data";
import type { Effects } from "./state";
import type { Range, Tiles } from "./tiles";

export interface AtlasViewProps extends RunView {
  atlas: AtlasInfo;
  cells: readonly Cell[];
  word: Word | null; // whose maps are shown; of a phrase its last
  content: Content | null;
  laid: Laid | null;
  tiles: Tiles | null;
  fine: Tiles | null;
  slot: number;
  step: number | null; // null: the mean over the steps
  range: Range | null; // null: each map's own
  masses: Masses | null;
  effects: Effects | null;
  loading: boolean;
  error: Error | null;
}

export interface AtlasPanel {
  id: string;
  title: string;
  Panel: (view: AtlasViewProps) => ReactNode;
  hidden?: (view: AtlasViewProps) => boolean;
}

export const slotIn = (slots: readonly (number | null)[], step: number | null): number => Math.max(0, slots.indexOf(step));
