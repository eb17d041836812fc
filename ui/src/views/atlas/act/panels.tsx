// What selecting, changing and finding put into the atlas: panels beside it, lanes below it, tools above it, the tour.

import { FindPanel } from "../find/FindPanel";
import type { AtlasPanel } from "../view";
import { ChangePanel } from "./ChangePanel";
import { SelectPanel } from "./SelectPanel";
import { w } from "./text";
import "./act.css";

export { Tour as Corner } from "../find/Tour";
export { Bar } from "./Bar";
export { Lanes } from "./Lanes";

export const panels: AtlasPanel[] = [
  { id: "select", title: w.select.tab, Panel: SelectPanel },
  { id: "change", title: w.change.tab, Panel: ChangePanel },
  { id: "find", title: w.find.tab, Panel: FindPanel },
];
