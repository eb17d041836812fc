// The prompt as chips, in its own order, with the text between the words kept. A click shows a word; with Shift, or with
// "combine words" on, it adds the word to the phrase or takes it out again.

import { partsOf, phrase } from "./phrase.js";
import { byId, element } from "./store.js";

export function showWords(data, maps, store) {
  const box = byId("words"), combine = byId("combine");
  const chips = new Map();
  for (const piece of data.prompt) {
    if (piece.word === null) box.append(element("span", { class: piece.cut ? "words-cut" : "words-between" }, piece.text));
    else {
      const chip = makeChip(data.words[piece.word], piece);
      box.append(chip);
      chips.set(piece.word, chip);
    }
  }
  const order = [...chips.keys()];

  function choose(word, add) {
    const { kind } = data.words[word], parts = partsOf(data, store.state.word);
    if (!add || kind !== "word" || !parts.length) store.set({ word });
    else {
      const left = parts.includes(word) ? parts.filter((part) => part !== word) : [...parts, word];
      if (left.length) store.set({ word: phrase(data, maps, left) });
    }
  }
  box.addEventListener("click", (event) => {
    const chip = event.target.closest(".chip");
    if (chip) choose(Number(chip.dataset.word), event.shiftKey || event.ctrlKey || event.metaKey || combine.checked);
  });
  // One stop in the tab order. Arrow keys walk along the words and show each, as in a group of radio buttons.
  box.addEventListener("keydown", (event) => {
    const now = order.indexOf(Number(event.target.dataset?.word));
    const to = { ArrowLeft: now - 1, ArrowUp: now - 1, ArrowRight: now + 1, ArrowDown: now + 1, Home: 0, End: order.length - 1 }[event.key];
    if (now < 0 || to === undefined) return;
    event.preventDefault();
    const word = order[(to + order.length) % order.length];
    if (!combine.checked) choose(word, false);
    for (const [index, chip] of chips) chip.tabIndex = index === word ? 0 : -1;
    chips.get(word).focus();
  });

  store.watch(["word", "step"], ({ word, step }) => {
    const slot = step === null ? 0 : step + 1;
    const largest = Math.max(...data.words.map((other) => (other.kind === "word" ? other.mass[slot] : 0)));
    const shown = data.words[word].kind === "phrase" ? data.words[word].parts : [word];
    for (const [index, chip] of chips) {
      chip.setAttribute("aria-pressed", String(shown.includes(index)));
      chip.tabIndex = index === shown[0] ? 0 : -1;
      chip.style.setProperty("--mass", Math.min(1, data.words[index].mass[slot] / largest || 0));
    }
  });

  function makeChip(word, piece) {
    const kind = word.kind === "word" ? "" : word.kind === "start" ? " special first" : " special last";
    const repeat = word.label.match(/#(\d+)$/);
    return element("button", { type: "button", class: `chip${kind}`, title: word.note, "data-word": piece.word, "aria-label": word.name.replace(/,$/, "") },
      element("span", {}, piece.text),
      word.kind === "word" && repeat ? element("sub", {}, repeat[1]) : null,
      element("span", { class: "chip-bar", "aria-hidden": "true" }));
  }
}
