// Starts the page: reads the data, makes the state, shows the views.

import { showChart } from "./chart.js";
import { decodeMaps } from "./maps.js";
import { decodeTable } from "./paint.js";
import { showObjects } from "./objects.js";
import { showExplanation } from "./explanation.js";
import { parseSelection, textOfHash } from "./selection.js";
import { showStage } from "./stage.js";
import { byId, createStore, element } from "./store.js";
import { showStrips } from "./strips.js";
import { showTexts } from "./texts.js";
import { showTimeline } from "./timeline.js";
import { showWords } from "./words.js";

const data = JSON.parse(byId("data").textContent);
const maps = decodeMaps(data.maps);
const tables = Object.fromEntries(Object.entries(data.colours).map(([name, table]) => [name, decodeTable(table)]));

const store = createStore({
  word: data.first, step: null, playing: false, patch: null, curve: "mass", special: false,
  opacity: 60, behind: "step", patches: "raw", range: "word", colours: Object.keys(tables)[0],
  ...parseSelection(data, maps, textOfHash(location.hash)),
});

showControls();
showTheme();
showWords(data, maps, store);
showStage(data, maps, tables, store);
showTimeline(data, maps, tables, store);
showChart(data, store);
showStrips(data, tables, store);
showTexts(data, store);
showObjects(data);
showExplanation(data, store);
addEventListener("hashchange", () => store.set({ ...parseSelection(data, maps, textOfHash(location.hash)), playing: false }));

function showControls() {
  byId("colours").append(...Object.keys(tables).map((name) => element("option", { value: name }, name)));
  for (const name of ["range", "colours"]) {
    byId(name).addEventListener("change", (event) => store.set({ [name]: event.target.value }));
    store.watch([name], (state) => { byId(name).value = state[name]; });
  }
  for (const name of ["behind", "patches"]) {
    const inputs = document.querySelectorAll(`input[name=${name}]`);
    for (const input of inputs) input.addEventListener("change", () => store.set({ [name]: input.value }));
    store.watch([name], (state) => { for (const input of inputs) input.checked = input.value === state[name]; });
  }
  if (!data.previews.some(Boolean)) for (const input of document.querySelectorAll("input[name=behind]")) input.disabled = true;
  const opacity = byId("opacity");
  opacity.addEventListener("input", () => store.set({ opacity: Number(opacity.value) }));
  store.watch(["opacity"], (state) => {
    opacity.value = state.opacity;
    byId("opacity-value").textContent = `${state.opacity}%`;
  });
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault(); // the address belongs to the selection
    byId("frame-map").focus();
  });
}

function showTheme() {
  const inputs = [...document.querySelectorAll("input[name=theme]")];
  const wear = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  let kept = "auto";
  try {
    kept = localStorage.getItem("diffuscope-theme") ?? "auto";
  } catch {
    // Storage may be switched off; the switch then lasts as long as the page.
  }
  for (const input of inputs) {
    input.checked = input.value === kept;
    input.addEventListener("change", () => {
      wear(input.value);
      try {
        localStorage.setItem("diffuscope-theme", input.value);
      } catch {
        // as above
      }
    });
  }
  if (!inputs.some((input) => input.checked)) inputs[0].checked = true;
  wear(inputs.find((input) => input.checked).value);
}
