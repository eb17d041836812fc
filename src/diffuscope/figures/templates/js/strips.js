// A heat strip a word under the chart: a cell a step, each row from its own least to its own greatest value.

import { hasShare, number, percent, share } from "./measures.js";
import { paint } from "./paint.js";
import { byId, element } from "./store.js";
import { dragSteps } from "./timeline.js";

export function showStrips(data, tables, store) {
  const box = byId("strips"), rows = element("div", { class: "strip-rows" });
  const line = element("div", { class: "strip-line", "aria-hidden": "true" });
  const tip = element("div", { class: "strip-tip", hidden: true, "aria-hidden": "true" });
  box.append(rows, line, tip);
  const valuesOf = (word, curve) => data.steps.map((_, i) => (curve === "share" ? share(data, word, i + 1) : data.words[word].mass[i + 1]));
  const told = (value, curve) => (curve === "share" ? percent(value) : number(value));
  const peakText = (i) => (typeof data.words[i].peak === "number" ? ` Its mass peaks at step ${data.steps[data.words[i].peak].index}.` : "");

  store.watch(["word", "curve", "special", "colours"], ({ word, curve, special, colours }) => {
    const shown = data.words.flatMap((other, i) => (other.kind === "word" || (i === word && (curve === "mass" || hasShare(data, i))) || (special && curve === "mass" && other.kind !== "phrase") ? [i] : []));
    rows.replaceChildren(...shown.map((i) => {
      const values = valuesOf(i, curve), low = Math.min(...values), high = Math.max(...values);
      const cells = element("canvas", { role: "img", "aria-label": `${data.words[i].name} over the steps: ${told(low, curve)} to ${told(high, curve)}.${peakText(i)}` });
      paint(cells, values, values.length, { range: [low, high], table: tables[colours], smooth: false });
      const name = element("span", { class: "strip-name", "aria-hidden": "true" }, data.words[i].short);
      const row = element("div", { class: i === word ? "strip-row selected" : "strip-row", "data-word": i }, cells, name);
      const peak = data.words[i].peak;
      if (peak !== null && peak !== undefined) {
        const mark = element("span", { class: "strip-peak", "aria-hidden": "true" });
        mark.style.setProperty("--at", (peak + 0.5) / values.length);
        row.append(mark);
      }
      name.addEventListener("click", () => store.set({ word: i }));
      return row;
    }));
  });
  store.watch(["step"], ({ step }) => {
    line.hidden = step === null;
    line.style.setProperty("--at", ((step ?? 0) + 0.5) / data.steps.length);
  });

  const placeOf = (event) => {
    const cells = rows.querySelector("canvas")?.getBoundingClientRect();
    if (!cells || !cells.width) return -1;
    const at = (event.clientX - cells.left) / cells.width;
    return at < 0 || at >= 1 ? -1 : Math.floor(at * data.steps.length);
  };
  box.addEventListener("pointermove", (event) => {
    const step = placeOf(event), row = event.target.closest(".strip-row");
    tip.hidden = step < 0 || !row;
    if (tip.hidden) return;
    const word = Number(row.dataset.word), { curve } = store.state;
    tip.replaceChildren(
      element("p", { class: "head" }, element("span", {}, `step ${data.steps[step].index}`), element("span", {}, curve === "share" ? "share" : "mass")),
      element("p", {}, element("span", {}, data.words[word].short), element("span", {}, told(valuesOf(word, curve)[step], curve))),
    );
    const frame = box.getBoundingClientRect(), at = event.clientX - frame.left;
    tip.style.top = `${row.offsetTop + row.offsetHeight + 4}px`;
    tip.style.left = `${at + tip.offsetWidth + 16 > frame.width ? Math.max(0, at - tip.offsetWidth - 12) : at + 12}px`;
  });
  box.addEventListener("pointerleave", () => { tip.hidden = true; });
  dragSteps(box, placeOf, (step) => store.set({ step, playing: false }));
}
