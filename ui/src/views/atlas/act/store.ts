// The work on one recording, with its history. Strokes in the making stay outside; each whole change is one entry.

import { create } from "zustand";
import { useAtlas } from "../state";
import { w } from "./text";
import { EMPTY, isEmpty, readWork, workText, type Work } from "./work";

export type Tool = keyof typeof w.select.tools;
export type Did = keyof typeof w.select.did;

interface Entry {
  work: Work;
  did: Did;
}

// Typing and dragging are one entry as long as they go on.
const FLOWING: readonly Did[] = ["name", "act", "steps"];
const PAUSE = 900;
let lately = { did: "" as Did | "", at: 0 };

export interface Drawn {
  run: string; // id of the run that was drawn
  control: string | null;
  layers: string; // the work that it was drawn from
  says: string;
}

export interface ActState {
  run: string | null;
  work: Work;
  past: readonly Entry[];
  future: readonly Entry[];
  drawn: readonly Drawn[]; // newest first
  tool: Tool;
  size: number; // of the brush: part of the picture's width
  surface: "picture" | "cell"; // what the painter in the panel shows
  tour: number | null; // place in the tour, null outside of it
  open: (run: string) => void;
  change: (work: Work, did: Did) => void;
  // Without an entry in the history: which layer is in hand, what is shown beside.
  look: (part: Partial<Pick<Work, "now" | "result">>) => void;
  undo: () => void;
  redo: () => void;
  add: (drawn: Drawn) => void;
  set: (part: Partial<Pick<ActState, "tool" | "size" | "surface" | "tour">>) => void;
}

const MOST = 200;
const KEPT = 24;
const key = (run: string) => `diffuscope atlas ${run}`;

export const useAct = create<ActState>()((set, get) => ({
  run: null,
  work: EMPTY,
  past: [],
  future: [],
  drawn: [],
  tool: "move",
  size: 0.09,
  surface: "picture",
  tour: null,
  open: (run) => {
    // Come back to, by an address that says nothing of layers: they are as they were.
    if (get().run === run) return told(get());
    const kept = stored(run);
    const work = readWork(useAtlas.getState().layers) ?? readWork(kept.work) ?? EMPTY;
    set({ run, work, past: [], future: [], drawn: kept.drawn, tool: "move", surface: "picture" });
    told(get());
  },
  change: (work, did) => {
    const { work: before, past } = get();
    if (workText(work) === workText(before)) return;
    const now = performance.now();
    const flows = past.length > 0 && FLOWING.includes(did) && lately.did === did && now - lately.at < PAUSE;
    lately = { did, at: now };
    set({ work, past: flows ? past : [...past.slice(-MOST), { work: before, did }], future: [] });
    told(get());
  },
  look: (part) => {
    set({ work: { ...get().work, ...part } });
    told(get());
  },
  undo: () => {
    const { past, future, work } = get();
    const last = past.at(-1);
    lately = { did: "", at: 0 };
    if (!last) return;
    set({ work: { ...last.work, result: work.result }, past: past.slice(0, -1), future: [{ work, did: last.did }, ...future] });
    told(get());
  },
  redo: () => {
    const { past, future, work } = get();
    const [next, ...rest] = future;
    if (!next) return;
    set({ work: { ...next.work, result: work.result }, past: [...past, { work, did: next.did }], future: rest });
    told(get());
  },
  add: (drawn) => {
    set({ drawn: [drawn, ...get().drawn.filter(({ run }) => run !== drawn.run)].slice(0, KEPT), work: { ...get().work, result: drawn.run } });
    told(get());
  },
  set: (part) => set(part),
}));

// Into the address, and into the browser's store.
function told({ run, work, drawn }: ActState): void {
  useAtlas.getState().set({ layers: isEmpty(work) ? "" : workText(work) });
  if (!run) return;
  try {
    window.localStorage.setItem(key(run), JSON.stringify({ work: workText(work), drawn }));
  } catch {
    // Private windows may have no storage, or it is full: the work then lasts for the visit, and in links.
  }
}

function stored(run: string): { work: string; drawn: Drawn[] } {
  try {
    const { work, drawn } = JSON.parse(window.localStorage.getItem(key(run)) ?? "{}") as { work?: unknown; drawn?: unknown };
    const list = Array.isArray(drawn) ? drawn.filter((each: Partial<Drawn> | null): each is Drawn => typeof each?.run === "string" && typeof each.layers === "string" && typeof each.says === "string") : [];
    return { work: typeof work === "string" ? work : "", drawn: list };
  } catch {
    return { work: "", drawn: [] };
  }
}

// A link that is opened in this tab, or a step through the browser's history.
useAtlas.subscribe((state, before) => {
  if (state.layers === before.layers || state.layers === "") return;
  const { run, work } = useAct.getState();
  if (run === null || state.layers === workText(work)) return;
  const asked = readWork(state.layers);
  if (asked) {
    const { past } = useAct.getState();
    useAct.setState({ work: asked, past: [...past.slice(-MOST), { work, did: "restore" }], future: [] });
  }
});
