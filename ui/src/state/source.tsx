// The sources of this visit, handed down the tree.

import { createContext, useContext } from "react";
import type { Source } from "../api/source";
import type { RunSummary, TrashEntry } from "../api/types";

export interface Library {
  source: Source; // where the page comes from
  example: Source | null; // the recording shipped with the page, where there are no others
  runs: RunSummary[];
  trash: TrashEntry[];
  reload: () => Promise<void>;
}

export const LibraryContext = createContext<Library | null>(null);

export function useLibrary(): Library {
  const library = useContext(LibraryContext);
  if (!library) throw new Error("outside of a library");
  return library;
}

// Where a run lies: the shipped example has a folder of its own.
export function useSourceOf(run: string): Source {
  const { source, example } = useLibrary();
  return example?.site.example === run ? example : source;
}
