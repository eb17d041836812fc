// Step slider, play, "all steps", and the strip of small maps.

import { number, sentence, when } from "./measures.js";
import { colourRange, paint } from "./paint.js";
import { byId, element } from "./store.js";

export function showTimeline(data, maps, tables, store) {
  const last = data.steps.length - 1;
  const slider = byId("step"), strip = byId("strip"), track = byId("track");
  const goTo = (step) => store.set({ step: Math.max(0, Math.min(last, step)), playing: false });
  track.style.setProperty("--steps", data.steps.length);

  slider.max = last;
  slider.addEventListener("input", () => goTo(Number(slider.value)));
  byId("all-steps").addEventListener("click", () => store.set({ step: store.state.step === null ? last : null, playing: false }));
  store.watch(["step"], ({ step }) => {
    track.classList.toggle("all", step === null);
    byId("all-steps").setAttribute("aria-pressed", String(step === null));
    slider.value = step ?? last;
    slider.setAttribute("aria-valuetext", step === null ? `all ${data.steps.length} steps` : plainStep(data, step));
    byId("step-text").replaceChildren(...stepText(data, step));
  });

  const cells = data.steps.map((step, i) => {
    const cell = element("div", { class: "cell", role: "option", id: `cell-${i}` },
      element("canvas", { "aria-hidden": "true" }), element("span", { class: "cell-step", "aria-hidden": "true" }, String(step.index)));
    strip.append(cell);
    return cell;
  });
  store.watch(["word", "range", "colours", "patches"], ({ word, range, colours, patches }) => {
    cells.forEach((cell, i) => {
      const view = { range: colourRange(data, maps, range, word, i + 1).range, table: tables[colours], smooth: patches === "smooth", fine: maps.width <= 32 ? 4 : 1 };
      paint(cell.firstChild, maps.get(word, i + 1), maps.width, view);
      cell.setAttribute("aria-label", sentence(data, maps, word, i + 1));
    });
  });
  store.watch(["step"], ({ step }) => {
    cells.forEach((cell, i) => {
      cell.setAttribute("aria-selected", String(i === step));
      cell.tabIndex = i === (step ?? 0) ? 0 : -1; // one stop in the tab order; the arrow keys do the rest
    });
  });
  strip.addEventListener("keydown", (event) => {
    const now = store.state.step ?? -1;
    const target = { ArrowLeft: now - 1, ArrowUp: now - 1, ArrowRight: now + 1, ArrowDown: now + 1, Home: 0, End: last }[event.key] ?? (event.key === "Enter" || event.key === " " ? cells.indexOf(event.target) : null);
    if (target === null) return;
    event.preventDefault();
    goTo(target);
    cells[store.state.step].focus();
  });
  dragSteps(strip, (event) => cells.indexOf(document.elementFromPoint(event.clientX, event.clientY)?.closest(".cell")), goTo);

  showPlay(data, store, last);
}

function showPlay(data, store, last) {
  const button = byId("play"), calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  const advance = () => {
    const { step } = store.state;
    store.set({ step: step === null ? 0 : Math.min(last, step + 1) });
    if (store.state.step === last) store.set({ playing: false });
    else timer = setTimeout(advance, pause());
  };
  // Moves because someone asked for it, but without haste where less motion is wished for.
  const pause = () => (calm.matches ? 1000 : Math.max(90, Math.min(240, 5000 / data.steps.length)));
  button.addEventListener("click", () => {
    if (!store.state.playing && store.state.step === last) store.set({ step: null }); // from the start again
    store.set({ playing: !store.state.playing });
  });
  store.watch(["playing"], ({ playing }) => {
    clearTimeout(timer);
    button.setAttribute("aria-pressed", String(playing));
    byId("play-text").textContent = playing ? "Pause" : "Play";
    if (playing) advance();
  });
}

// Press and drag over steps. `stepAt` gives the step under the pointer, or -1.
export function dragSteps(node, stepAt, goTo) {
  let held = false;
  const follow = (event) => {
    const step = stepAt(event);
    if (step >= 0) goTo(step);
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    held = true;
    follow(event);
  });
  node.addEventListener("pointermove", (event) => { if (held && event.buttons & 1) follow(event); });
  addEventListener("pointerup", () => { held = false; });
}

const details = (data, step) => {
  const { timestep, log_snr: logSnr } = data.steps[step];
  const parts = [];
  if (timestep !== null) parts.push(`timestep ${Number(timestep.toPrecision(5))}`);
  if (logSnr !== null) parts.push(`log-SNR ${number(logSnr)}`);
  return parts;
};
const plainStep = (data, step) => [`step ${data.steps[step].index} of 0 to ${data.steps.at(-1).index}`, ...details(data, step)].join(", ");

function stepText(data, step) {
  if (step === null) return [element("b", {}, "all steps"), ` mean of steps ${data.steps[0].index} to ${data.steps.at(-1).index}`];
  return [element("b", {}, when(data, step + 1)), ` of 0 to ${data.steps.at(-1).index}`, details(data, step).map((part) => ` · ${part}`).join("")];
}
