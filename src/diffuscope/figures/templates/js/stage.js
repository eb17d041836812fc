// The picture, beside it the map laid over the picture in grey, the colour scale, and the value under the pointer.

import { hasShare, measure, number, percent, region, sentence, share, when } from "./measures.js";
import { colourRange, paint, stops } from "./paint.js";
import { byId, element } from "./store.js";

export function showStage(data, maps, tables, store) {
  const canvas = byId("map"), frame = byId("frame-map"), frames = [frame, byId("frame-picture")];
  const pictures = preload(data);
  const fine = Math.max(1, Math.min(16, Math.floor(256 / maps.width)));
  const slotOf = (state) => (state.step === null ? 0 : state.step + 1);
  const scaleOf = (state) => colourRange(data, maps, state.range, state.word, slotOf(state));

  document.documentElement.style.setProperty("--aspect", `${data.picture.width / data.picture.height}`);

  store.watch(["word", "step", "range", "colours", "patches"], (state) => {
    const view = { range: scaleOf(state).range, table: tables[state.colours], smooth: state.patches === "smooth", fine };
    paint(canvas, maps.get(state.word, slotOf(state)), maps.width, view);
  });
  store.watch(["opacity"], ({ opacity }) => { canvas.style.opacity = opacity / 100; });
  store.watch(["step", "behind"], ({ step, behind }) => {
    const predicted = behind === "step" && step !== null ? pictures.steps[step] : null;
    const shown = predicted ?? pictures.final;
    for (const image of [byId("picture"), byId("behind")]) if (shown && image.src !== shown.src) image.src = shown.src;
    byId("picture").alt = byId("caption-picture").textContent = predicted
      ? `clean picture predicted at ${when(data, step + 1)}` : data.picture.caption;
  });
  store.watch(["patches", "opacity"], ({ patches, opacity }) => {
    const how = patches === "smooth" ? "smoothed" : "raw";
    byId("caption-map").textContent = `${maps.width} × ${maps.height} patches, ${how}${opacity < 100 ? `, ${opacity}% over the picture in grey` : ""}`;
  });
  store.watch(["word", "step"], (state) => {
    const { word, step } = state, name = data.words[word].name;
    byId("reading-word").textContent = data.words[word].title;
    byId("reading-of").textContent = `${when(data, slotOf(state))} · ${data.aggregation}`;
    byId("summary").textContent = sentence(data, maps, word, slotOf(state));
    frame.setAttribute("aria-label", `Map of ${name} over the picture, ${step === null ? "all steps" : when(data, step + 1)}. Arrow keys move over the patches.`);
    byId("numbers").replaceChildren(...numbers(data, maps, word, slotOf(state)));
  });
  store.watch(["word", "step", "range", "colours"], (state) => {
    const { range: [low, high], label } = scaleOf(state);
    byId("scale-unit").textContent = data.unit;
    byId("scale-mode").textContent = label;
    byId("scale-ramp").style.setProperty("--stops", stops(tables[state.colours]));
    byId("scale-ticks").replaceChildren(...[0, 0.5, 1].map((at) => {
      const tick = element("span", {}, number(low + at * (high - low)));
      tick.style.setProperty("--at", at);
      return tick;
    }));
    byId("scale").setAttribute("aria-label", `Colour scale, ${data.unit}, from ${number(low)} to ${number(high)}: ${label}`);
  });
  store.watch(["word", "step", "range", "patch"], (state) => {
    const { patch } = state, map = maps.get(state.word, slotOf(state));
    for (const each of frames) markPatch(each.querySelector(".patch"), patch, maps);
    const mark = byId("scale-mark");
    mark.classList.toggle("on", patch !== null);
    if (patch === null) {
      byId("pointer").textContent = `Point at a patch, or focus the map and use the arrow keys. ${data.precision}`;
      return;
    }
    const value = map[patch.y * maps.width + patch.x], [low, high] = scaleOf(state).range;
    mark.style.setProperty("--at", high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0);
    byId("pointer").replaceChildren(element("b", {}, digits(value)), ` ${data.unit}`, element("br"),
      `column ${patch.x}, row ${patch.y} · ${(value / measure(map, maps.width).mean).toFixed(2)} × the map's mean`);
  });

  for (const each of frames) {
    each.addEventListener("pointermove", (event) => {
      const box = each.getBoundingClientRect();
      moveTo(((event.clientX - box.left) / box.width) * maps.width, ((event.clientY - box.top) / box.height) * maps.height);
    });
    each.addEventListener("pointerleave", () => store.set({ patch: null }));
  }
  frame.addEventListener("blur", () => store.set({ patch: null }));
  frame.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") store.set({ patch: null });
    if (!move) return;
    event.preventDefault();
    const slot = slotOf(store.state), { peak } = measure(maps.get(store.state.word, slot), maps.width);
    const from = store.state.patch;
    if (from) moveTo(from.x + move[0], from.y + move[1]);
    else moveTo(peak.x, peak.y);
    const { x, y } = store.state.patch, value = maps.get(store.state.word, slot)[y * maps.width + x];
    byId("live").textContent = `${digits(value)}, column ${x}, row ${y}`;
  });

  function moveTo(x, y) {
    const inside = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value)));
    const patch = { x: inside(x, maps.width), y: inside(y, maps.height) };
    const old = store.state.patch;
    if (!old || old.x !== patch.x || old.y !== patch.y) store.set({ patch });
  }
}

// As many digits as the embedded precision carries: float16 has 11 bits, a byte less than three digits.
const digits = (value) => (value === 0 ? "0" : Math.abs(value) < 1e-4 ? value.toExponential(3) : value.toPrecision(4));

function numbers(data, maps, word, slot) {
  const { peak, centroid } = measure(maps.get(word, slot), maps.width);
  const rows = [
    ["mass", number(data.words[word].mass[slot]), "mean over patches"],
    ["share", hasShare(data, word) ? percent(share(data, word, slot)) : "–", "of the words' mass"],
    ["peak", number(peak.value), `column ${peak.x}, row ${peak.y}, ${region((peak.x + 0.5) / maps.width, (peak.y + 0.5) / maps.height)}`],
    ["centroid", centroid ? `${percent(centroid.x)}, ${percent(centroid.y)}` : "none", "across, down"],
  ];
  const cells = rows.map(([name, value, note]) => element("div", {}, element("dt", {}, name), element("dd", {}, value, " ", element("small", {}, note))));
  const { test, window: counts } = data.words[word];
  const wide = (name, value, said) => {
    const cell = element("div", {}, element("dt", {}, name), element("dd", {}, value, " ", element("small", {}, said)));
    cell.style.gridColumn = "1 / -1";
    cells.push(cell);
  };
  if (test) wide("map put to the test", test.verdict, test.said);
  if (counts) wide("window in which it counts", `steps ${counts.start} to ${counts.stop - 1}`, counts.said);
  return cells;
}

function markPatch(mark, patch, maps) {
  mark.classList.toggle("on", patch !== null);
  if (patch === null) return;
  mark.style.left = `${(100 * patch.x) / maps.width}%`;
  mark.style.top = `${(100 * patch.y) / maps.height}%`;
  mark.style.width = `${100 / maps.width}%`;
  mark.style.height = `${100 / maps.height}%`;
}

// Decode every picture once, so that scrubbing shows them without a flash.
function preload(data) {
  const load = (source) => {
    if (!source) return null;
    const image = new Image();
    image.src = source;
    image.decode?.().catch(() => {});
    return image;
  };
  return { final: load(data.picture.source), steps: data.previews.map(load) };
}
