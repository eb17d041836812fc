// The selection in its text form, `steps=7 word=circle`: what `str(Selection)` writes, and what the Python API and the
// command line take.

import { findWords } from "./phrase.js";

export function selectionText(data, word, step) {
  const chosen = `word=${quoted(data.words[word].label)}`;
  return step === null ? chosen : `steps=${data.steps[step].index} ${chosen}`; // normal form: what is all is left out
}

// Values with blanks, quotes or backslashes stand in double quotes, with backslash escapes.
export function quoted(value) {
  return /^[^\s"\\]+$/.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

// What a page's hash asks for: { word, step } with what was understood; a selection that names no step means all.
export function parseSelection(data, maps, text) {
  const found = {};
  for (const [, key, value] of text.matchAll(/(\w+)=("(?:\\.|[^"\\])*"|\S+)/g)) {
    const plain = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
    if (key === "word") {
      const word = findWords(data, maps, plain);
      if (word !== null) found.word = word;
    }
    if (key === "steps") {
      const step = data.steps.findIndex((other) => String(other.index) === plain);
      if (step >= 0) found.step = step;
    }
  }
  return "word" in found ? { step: null, ...found } : found;
}

export const hashOf = (text) => "#" + encodeURIComponent(text).replace(/%20/g, "+").replace(/%3D/g, "=").replace(/%3A/g, ":").replace(/%2C/g, ",");

export function textOfHash(hash) {
  try {
    return decodeURIComponent(hash.slice(1).replace(/\+/g, "%20"));
  } catch {
    return "";
  }
}

// A word inside a line for Python or for a POSIX shell, quoted so that it stays data when pasted.
export const pythonString = (text) => JSON.stringify(text);
export const shellWord = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);
