// The page's one store: the address (route and selection), how maps are shown, and what plays. What moves with every
// pointer event on a canvas stays outside, except the place that several views show together.

import { create } from "zustand";
import { SEQUENTIAL, type ColourName } from "../maps/colours";
import type { Look } from "../maps/heat";
import { EVERYTHING, type Selection } from "../selection";
import { readAddress, writeAddress, type Address, type Route } from "./address";

export type RangeMode = "word" | "shared" | "map";
export type Theme = "auto" | "light" | "dark";
export type CompareMode = "beside" | "slider" | "difference" | "flicker";

export interface Preferences {
  opacity: number; // 0 … 100
  colours: ColourName;
  smooth: boolean;
  range: RangeMode;
  look: Look;
  behind: "step" | "final";
  theme: Theme;
  loop: boolean;
  speed: number; // steps a second
}

export interface State extends Address, Preferences {
  playing: boolean;
  // Under the pointer, in shares of width and height; from the keyboard too.
  place: { x: number; y: number } | null;
  // Shown for as long as something else is pointed at: a sentence's evidence.
  lent: Selection | null;
  compare: CompareMode;
  watched: string | null; // the job that the form of new recordings shows
  set: (change: Partial<State>) => void;
  select: (change: Partial<Selection>) => void;
  go: (route: Route, address?: Partial<Omit<Address, "route">>) => void;
}

const PREFERENCES: Preferences = {
  opacity: 72,
  colours: "magma",
  smooth: false,
  range: "word",
  look: "colour",
  behind: "step",
  theme: "auto",
  loop: false,
  speed: 8,
};

const KEY = "diffuscope";

export const useStore = create<State>()((set) => ({
  ...readAddress(""),
  ...PREFERENCES,
  playing: false,
  place: null,
  lent: null,
  compare: "beside",
  watched: null,
  set: (change) => set(change),
  select: (change) => set((state) => ({ selection: { ...state.selection, ...change } })),
  go: (route, address) =>
    set({ also: [], direction: "to", diffused: false, selection: EVERYTHING, ...address, route, playing: false, place: null, lent: null }),
}));

export const shownSelection = (state: State): Selection => state.lent ?? state.selection;

// Keeps store, address bar and this browser's preferences in step. Steps replace the entry of the history, all else adds one.
export function connect(window: Window): () => void {
  const { setState, getState, subscribe } = useStore;
  setState({ ...stored(window), ...readAddress(window.location.hash) });
  let timer = 0;
  const read = () => {
    if (window.location.hash !== writeAddress(getState())) setState({ ...readAddress(window.location.hash), playing: false, lent: null });
  };
  window.addEventListener("popstate", read);
  window.addEventListener("hashchange", read);
  const stop = subscribe((state, before) => {
    const address = writeAddress(state);
    if (address !== writeAddress(before) && address !== window.location.hash) {
      const onlySteps = withoutSteps(state) === withoutSteps(before);
      window.clearTimeout(timer);
      // Browsers refuse hundreds of history calls in a row: while the steps move, the address follows at rest.
      if (onlySteps) timer = window.setTimeout(() => window.history.replaceState(null, "", writeAddress(getState())), 150);
      else window.history.pushState(null, "", address);
    }
    if (preferencesText(state) !== preferencesText(before)) {
      try {
        window.localStorage.setItem(KEY, preferencesText(state));
      } catch {
        // Private windows may have no storage; preferences then last for the visit.
      }
    }
  });
  return () => {
    stop();
    window.clearTimeout(timer);
    window.removeEventListener("popstate", read);
    window.removeEventListener("hashchange", read);
  };
}

const withoutSteps = (state: State) => writeAddress({ ...state, selection: { ...state.selection, steps: "all" } });

function preferencesText(state: State): string {
  return JSON.stringify(Object.fromEntries(Object.keys(PREFERENCES).map((key) => [key, state[key as keyof Preferences]])));
}

function stored(window: Window): Preferences {
  try {
    const kept = JSON.parse(window.localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>;
    const known = Object.fromEntries(
      Object.entries(kept).filter(([key, value]) => typeof value === typeof PREFERENCES[key as keyof Preferences]),
    ) as Partial<Preferences>;
    const merged = { ...PREFERENCES, ...known };
    return (SEQUENTIAL as readonly string[]).includes(merged.colours) ? merged : PREFERENCES;
  } catch {
    return PREFERENCES;
  }
}
