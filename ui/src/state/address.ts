// What the address bar holds: which view, which run, and the selection in its text form.
//
//   #/run/20261121-…?select=steps=7+word=circle&also=blue

import { EVERYTHING, parseSelection, selectionText, type Selection } from "../selection";

export type Route =
  | { view: "gallery" }
  | { view: "record" }
  | { view: "run"; run: string }
  | { view: "edit"; run: string }
  | { view: "compare"; run: string; other: string; control: string | null }
  | { view: "morph"; run: string; film: string } // the film's own words: see views/morph/film.ts
  | { view: "atlas"; run: string; atlas: string } // its own part of the query: see views/atlas/state.ts
  | { view: "studies" }
  | { view: "study"; study: string };

export type Direction = "to" | "from";

export interface Address {
  route: Route;
  selection: Selection;
  also: string[]; // labels of words shown beside the selected one
  direction: Direction;
  diffused: boolean;
}

export function readAddress(hash: string): Address {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const asked = new URLSearchParams(query);
  return {
    route: readRoute(path.split("/").map(decoded), asked, query),
    selection: parseSelection(asked.get("select") ?? ""),
    also: asked.getAll("also"),
    direction: asked.get("direction") === "from" ? "from" : "to",
    diffused: asked.has("diffused"),
  };
}

export function writeAddress({ route, selection, also, direction, diffused }: Address): string {
  if (route.view === "morph") return `#/${writeRoute(route)}${route.film ? `?${route.film}` : ""}`;
  const parts: string[] = [];
  const select = selectionText(selection);
  if (select !== selectionText(EVERYTHING)) parts.push(`select=${encoded(select)}`);
  for (const label of also) parts.push(`also=${encoded(label)}`);
  if (selection.region !== null && direction !== "to") parts.push(`direction=${direction}`);
  if (selection.region !== null && diffused) parts.push("diffused");
  if (route.view === "atlas" && route.atlas) parts.push(route.atlas);
  if (route.view === "compare" && route.control) parts.push(`control=${encoded(route.control)}`);
  return `#/${writeRoute(route)}${parts.length ? `?${parts.join("&")}` : ""}`;
}

const COMMON = /^(select|also|direction|diffused)(=|$)/;

function readRoute([view, a, b]: string[], asked: URLSearchParams, query: string): Route {
  if (view === "morph") return { view, run: a ?? "", film: query };
  if (view === "atlas") return { view, run: a ?? "", atlas: query.split("&").filter((part) => part && !COMMON.test(part)).join("&") };
  if (view === "run" && a) return { view, run: a };
  if (view === "edit" && a) return { view, run: a };
  if (view === "compare" && a && b) return { view, run: a, other: b, control: asked.get("control") };
  if (view === "record") return { view };
  if (view === "studies") return a ? { view: "study", study: a } : { view };
  return { view: "gallery" };
}

function writeRoute(route: Route): string {
  const part = encodeURIComponent;
  switch (route.view) {
    case "run":
    case "edit":
    case "morph":
    case "atlas":
      return `${route.view}/${part(route.run)}`;
    case "compare":
      return `compare/${part(route.run)}/${part(route.other)}`;
    case "study":
      return `studies/${part(route.study)}`;
    default:
      return route.view === "gallery" ? "" : route.view;
  }
}

// Readable in the address bar: blanks as +, and what needs no escape as it is.
const encoded = (text: string) =>
  encodeURIComponent(text).replace(/%20/g, "+").replace(/%3D/g, "=").replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/%3B/g, ";");

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

// The address of a view that nothing is selected in yet.
export const linkTo = (route: Route): string => writeAddress({ route, selection: EVERYTHING, also: [], direction: "to", diffused: false });
