// The run in words: point at a sentence, or reach it with the keyboard, and the numbers that it rests on stand beside it.

import { shellWord } from "./selection.js";
import { byId, element } from "./store.js";

export function showExplanation(data, store) {
  const section = byId("explanation"), told = data.explanation;
  if (!told || !told.parts.length) {
    section.remove();
    return;
  }
  section.hidden = false;
  const evidence = byId("explanation-evidence");
  let pinned = null;

  const show = (sentence, node) => {
    for (const each of section.querySelectorAll(".said-shown")) each.classList.remove("said-shown");
    node.classList.add("said-shown");
    evidence.replaceChildren(...sentence.evidence.map((each) => element("div", { class: "evidence-line" },
      element("p", {}, element("b", {}, each.value), ` ${each.title}`),
      element("p", { class: "hint" }, each.means),
      each.beside ? element("p", { class: "hint" }, `beside ${each.beside}`) : null,
      element("code", {}, each.selection))));
  };
  const leave = () => {
    if (pinned) show(...pinned);
  };
  const choose = (sentence, node) => {
    pinned = [sentence, node];
    show(sentence, node);
    const about = sentence.evidence.find((each) => each.word !== null && data.words.some((word) => word.label === each.word));
    if (about) store.set({ word: data.words.findIndex((word) => word.label === about.word) });
  };

  const said = (sentence) => {
    const node = element("span", { class: "said", role: "button", tabindex: "0" }, sentence.text);
    node.addEventListener("pointerenter", () => show(sentence, node));
    node.addEventListener("pointerleave", leave);
    node.addEventListener("focus", () => show(sentence, node));
    node.addEventListener("click", () => choose(sentence, node));
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(sentence, node);
    });
    return node;
  };
  for (const part of told.parts) {
    byId("explanation-text").append(element("h3", {}, part.title), ...part.paragraphs.map((paragraph) =>
      element("p", {}, ...paragraph.flatMap((sentence) => [said(sentence), " "]))));
  }
  const tries = byId("explanation-tries");
  if (!told.tries.length) tries.remove();
  else tries.append(element("dl", { class: "tries" }, ...told.tries.flatMap((each) => [
    element("dt", {}, `“${each.word}”: ${each.title}`),
    element("dd", {}, element("code", {}, ["diffuscope", ...each.arguments.map(shellWord)].join(" ")))])));
  byId("explanation-notes").textContent = told.notes.join(" ");
}
