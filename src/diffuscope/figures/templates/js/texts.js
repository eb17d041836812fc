// The cards below: the selection elsewhere, the definition, the run's facts, the table.

import { number } from "./measures.js";
import { hashOf, pythonString, selectionText, shellWord } from "./selection.js";
import { byId, element } from "./store.js";

export function showTexts(data, store) {
  byId("run-line").textContent = data.title;
  document.title = `${data.text} · diffuscope`;
  const notice = byId("notice");
  notice.hidden = !data.notices.length;
  notice.replaceChildren(...data.notices.flatMap((line, i) => (i ? [element("br"), line] : [line])));
  byId("measure").replaceChildren(...data.definition.map((paragraph) => element("p", {}, paragraph)));
  byId("facts").replaceChildren(...data.facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

  let waiting = 0;
  store.watch(["word", "step"], ({ word, step }) => {
    const text = selectionText(data, word, step), { label, kind } = data.words[word];
    const steps = step === null ? "" : `steps=${data.steps[step].index}`;
    const rows = [
      ["Selection", text],
      ["Python", `run.${kind === "phrase" ? "phrase" : "word"}(${pythonString(label)}).map(${steps})`],
      ["Command line", `diffuscope heatmap ${shellWord(data.folder)} --selection ${shellWord(text)}`],
    ];
    byId("take").replaceChildren(...rows.flatMap(([name, value]) => [
      element("dt", {}, name), element("dd", {}, element("code", {}, value), copyButton(name, value))]));
    clearTimeout(waiting);
    waiting = setTimeout(writeAddress, 200, text); // browsers refuse hundreds of address changes in a few seconds
  });
  showTable(data, store);
}

function writeAddress(text) {
  try {
    history.replaceState(null, "", hashOf(text));
  } catch {
    // A page inside a sandboxed frame has no address of its own.
  }
}

function copyButton(name, value) {
  const button = element("button", { type: "button", "aria-label": `Copy: ${name}` }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(value);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.previousSibling); // no clipboard on this page: leave it marked
      button.textContent = "marked";
    }
  });
  return button;
}

function showTable(data, store) {
  const plain = data.words.filter((word) => word.kind !== "phrase");
  const head = element("tr", {}, element("th", { scope: "col" }, "step"), ...plain.map((word) => element("th", { scope: "col" }, word.short)));
  const row = (name, slot) => element("tr", {}, element("th", { scope: "row" }, name), ...plain.map((word) => element("td", {}, number(word.mass[slot]))));
  const table = element("table", {}, element("thead", {}, head),
    element("tbody", {}, row("all", 0), ...data.steps.map((step, i) => row(String(step.index), i + 1))));
  byId("table").querySelector(".table-scroll").append(table);
  store.watch(["word"], ({ word }) => {
    for (const line of table.rows) [...line.cells].forEach((cell, i) => cell.classList.toggle("selected-column", i === word + 1));
  });
}
