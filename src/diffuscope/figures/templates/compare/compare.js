// The page of a comparison: pictures, what changed, and the attention to a word before and after.

import { decodeMaps } from "../js/maps.js";
import { decodeTable, paint, stops } from "../js/paint.js";
import { byId, createStore, element } from "../js/store.js";

const data = JSON.parse(byId("data").textContent);
const space = "http://www.w3.org/2000/svg";
const tables = Object.fromEntries(Object.entries(data.colours).map(([name, table]) => [name, decodeTable(table)]));
const number = (value, digits = 3) => (value === null ? "–" : Math.abs(value) < 1e-12 ? "0" : Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(digits));
const percent = (value) => `${(100 * value).toFixed(1)}%`;
const signed = (value, digits = 3) => (value === null ? "–" : `${value > 0 ? "+" : ""}${number(value, digits)}`);
const step = (value) => (value === null ? "never" : String(value));

showHead();
showPictures();
if (data.refused) showRefusal();
else {
  showChange();
  showMeasured();
  showWords();
  showEffects();
}
showFacts();
switchTheme();

function showHead() {
  document.title = `${data.text} · comparison · diffuscope`;
  byId("run-line").textContent = data.title;
  byId("text").textContent = data.text;
  const lines = data.edits.length ? data.edits : ["no edit"];
  byId("edits").append(...lines.map((line) => element("li", {}, element("b", {}, line))));
  if (data.window) byId("edits").append(element("li", {}, `acts at ${data.window}`));
}

function showPictures() {
  const [before, after, control] = data.pictures;
  document.documentElement.style.setProperty("--aspect", String(before.width / before.height));
  for (const [id, picture] of [["before", before], ["after", after], ["control", control]]) {
    if (!picture) continue;
    byId(id).src = picture.source;
    byId(id).alt = picture.name;
    byId(`${id}-caption`).append(element("b", {}, picture.name), ` · ${picture.run}`);
  }
  byId("control-figure").hidden = !control;
  const shown = [...document.querySelectorAll(".pictures > figure")];
  if (data.refused) {
    byId("pictures").classList.add("alone");
    byId("slider-figure").hidden = true;
    byId("change-figure").hidden = true;
  } else {
    byId("slider-before").src = before.source;
    byId("slider-after").src = after.source;
    showSlider();
  }
  document.documentElement.style.setProperty("--pictures", String(shown.filter((each) => !each.hidden).length));
}

function showSlider() {
  const slider = byId("slider"), frame = byId("slider-frame");
  const move = () => frame.style.setProperty("--at", `${slider.value}%`);
  slider.addEventListener("input", move);
  const drag = (event) => {
    const box = frame.getBoundingClientRect();
    slider.value = String(Math.round((100 * (event.clientX - box.left)) / box.width));
    move();
  };
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    drag(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) drag(event);
  });
}

function showRefusal() {
  byId("title").textContent = "Two runs that are no pair";
  byId("refused").hidden = false;
  for (const id of ["measured", "word", "effects"]) byId(id).hidden = true;
  fill("refused-table", ["what", "first run", "other run"], data.refused.map((each) => [each.what, each.one, each.other]));
}

// How much each pixel changed, in one colour scale for the edit and its control.
function showChange() {
  const maps = decodeMaps(data.change.maps), most = Math.max(data.change.top, 1e-9), canvas = byId("change");
  const show = (which) => {
    paint(canvas, maps.get(which, 0), maps.width, { range: [0, most], table: tables.heat, smooth: false });
    const pair = data.measured[which];
    canvas.setAttribute("aria-label", `Difference of the two pictures${which ? ", control" : ""}: on average ${number(pair.mean, 2)} delta-E, at most ${number(pair.largest, 1)}.`);
    byId("change-caption").replaceChildren(element("b", {}, which ? "difference, control" : "difference"), ` · delta-E (CIE76): mean ${number(pair.mean, 2)}, largest ${number(pair.largest, 1)}`);
  };
  byId("change-low").textContent = "0";
  byId("change-high").textContent = `${number(most, 1)} delta-E`;
  byId("change-ramp").style.setProperty("--stops", stops(tables.heat));
  byId("change-of").hidden = data.measured.length < 2;
  for (const input of document.querySelectorAll("input[name=change-of]")) input.addEventListener("change", () => show(Number(input.value)));
  canvas.addEventListener("pointermove", (event) => {
    const which = Number(document.querySelector("input[name=change-of]:checked").value);
    const [x, y] = cell(event, canvas, maps);
    byId("change-caption").replaceChildren(element("b", {}, `${number(maps.get(which, 0)[y * maps.width + x], 1)} delta-E`), ` · at x ${x}, y ${y}`);
  });
  canvas.addEventListener("pointerleave", () => show(Number(document.querySelector("input[name=change-of]:checked").value)));
  show(0);
}

function showMeasured() {
  const heads = ["measure", "edit", ...(data.measured.length > 1 ? ["control"] : [])];
  const line = (name, of) => [name, ...data.measured.map(of)];
  const rows = [
    line("mean change, delta-E", (each) => number(each.mean, 2)),
    line("largest change, delta-E", (each) => number(each.largest, 1)),
    line("pixels changed by more than 2.3", (each) => percent(each.noticed)),
    line(`perceptual distance`, (each) => number(each.perceptual, 4)),
  ];
  fill("picture-table", heads, rows);
  byId("perceptual").textContent = data.perceptual;
  if (!data.judge) return;
  byId("judge").hidden = false;
  byId("judge-name").textContent = `Judged by ${data.judge.name}.`;
  fill("judge-table", ["word", ...data.judge.columns], data.judge.rows);
  byId("readings").append(...data.judge.readings.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function showWords() {
  const words = data.words;
  if (!words.length) {
    byId("word").hidden = true;
    return;
  }
  const maps = decodeMaps(data.maps), store = createStore({ word: data.first });
  const sides = ["before", "after", ...(maps.slots > 2 ? ["control"] : [])];
  const chips = words.map((word, index) => {
    const chip = element("button", { type: "button", class: "chip" }, word.label);
    chip.addEventListener("click", () => store.set({ word: index }));
    return chip;
  });
  byId("words").append(...chips);
  const frames = [...sides, ...sides.slice(1).map((side) => `${side} − before`)].map((name) => {
    const canvas = element("canvas", { role: "img" });
    byId("maps").append(element("figure", {}, element("div", { class: "frame" }, canvas), element("figcaption", {}, name)));
    return canvas;
  });
  byId("map-ramp").style.setProperty("--stops", stops(tables.map));
  byId("difference-ramp").style.setProperty("--stops", stops(tables.signed));
  const painted = new Map();
  store.watch(["word"], ({ word }) => {
    const shown = sides.map((_, slot) => maps.get(word, slot));
    const apart = shown.slice(1).map((map) => map.map((value, i) => value - shown[0][i]));
    const high = Math.max(...shown.map((map) => map.reduce((a, b) => Math.max(a, b), 0)));
    const most = Math.max(1e-12, ...apart.map((map) => map.reduce((a, b) => Math.max(a, Math.abs(b)), 0)));
    [...shown, ...apart].forEach((map, i) => {
      const own = i < sides.length;
      const look = own ? { range: [0, high], table: tables.map } : { range: [-most, most], table: tables.signed };
      paint(frames[i], map, maps.width, { ...look, smooth: false });
      frames[i].setAttribute("aria-label", `${words[word].label}, ${own ? sides[i] : `${sides[i - sides.length + 1]} minus before`}: mean ${number(map.reduce((a, b) => a + b, 0) / map.length, 5)}.`);
      painted.set(frames[i], map);
    });
    byId("map-low").textContent = "0";
    byId("map-high").textContent = `${number(high, 4)} ${data.unit}`;
    byId("difference-low").textContent = number(-most, 4);
    byId("difference-high").textContent = `+${number(most, 4)}`;
    chips.forEach((chip, i) => chip.setAttribute("aria-pressed", String(i === word)));
    byId("live").textContent = `Maps of ${words[word].label}.`;
    byId("pointer").textContent = "Point at a map for its value.";
    showTimes(words[word]);
  });
  for (const canvas of frames) {
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = cell(event, canvas, maps), at = y * maps.width + x;
      const values = frames.map((each, i) => `${byId("maps").children[i].querySelector("figcaption").textContent} ${number(painted.get(each)[at], 5)}`);
      byId("pointer").textContent = `Patch ${x}, ${y}: ${values.join(" · ")}`;
    });
  }
  addEventListener("resize", () => showTimes(words[store.state.word]));
}

function cell(event, canvas, maps) {
  const box = canvas.getBoundingClientRect();
  const at = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value * size)));
  return [at((event.clientX - box.left) / box.width, maps.width), at((event.clientY - box.top) / box.height, maps.height)];
}

// The mass of one word at each step, before and after, with the steps in which the edit acts behind it.
function showTimes(word) {
  const times = word.times, chart = byId("chart");
  for (const id of ["chart-title", "chart", "legend", "moments"]) byId(id).hidden = !times;
  if (!times) return;
  const width = Math.max(240, chart.clientWidth), height = 190, left = 48, right = 10, top = 8, bottom = 36;
  const steps = times.steps, count = steps.length;
  const highest = niceTop(Math.max(1e-12, ...times.before, ...times.after));
  const x = (i) => left + ((i + 0.5) / count) * (width - left - right);
  const y = (value) => height - bottom - (value / highest) * (height - top - bottom);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const half = (width - left - right) / count / 2;
  for (const [first, last] of times.window) {
    picture.append(svg("rect", { class: "window", x: x(first) - half, width: x(last) - x(first) + 2 * half, y: top, height: height - top - bottom }));
  }
  for (const share of [0, 0.5, 1]) {
    picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(share * highest), y2: y(share * highest) }));
    picture.append(svg("text", { x: left - 6, y: y(share * highest) + 4, "text-anchor": "end" }, String(Number((share * highest).toPrecision(3)))));
  }
  const every = Math.max(1, Math.ceil(count / ((width - left - right) / 34)));
  steps.forEach((each, i) => {
    if (i % every === 0) picture.append(svg("text", { x: x(i), y: height - bottom + 15, "text-anchor": "middle" }, String(each)));
  });
  picture.append(svg("text", { x: left, y: height - 4 }, "step, 0 is the noisiest"));
  for (const [name, values] of [["before", times.before], ["after", times.after]]) {
    picture.append(svg("polyline", { class: `${name}-line`, points: values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  }
  const apart = times.after.map((value, i) => value - times.before[i]);
  const most = apart.reduce((a, b, i) => (Math.abs(b) > Math.abs(apart[a]) ? i : a), 0);
  picture.setAttribute("aria-label", `Attention mass of ${word.label} over the steps, before and after. They are furthest apart at step ${steps[most]}: ${number(times.before[most], 5)} before, ${number(times.after[most], 5)} after.`);
  chart.replaceChildren(picture);
  const key = (name, text) => element("span", {}, mark(name), text);
  byId("legend").replaceChildren(key("before", "before"), key("after", "after"), element("span", {}, element("i", {}), "steps in which the edit acts"));
  const moments = [["peak", times.peak], ["stabilisation", times.stabilisation], ["emergence, by attention", times.emergence]];
  fill("moments", ["step of", "before", "after", "later by"], moments.map(([name, [one, two]]) => [name, step(one), step(two), one === null || two === null ? "–" : signed(two - one, 0)]));
}

function mark(name) {
  const picture = svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" });
  picture.append(svg("line", { class: `${name}-line`, x1: 0, x2: 26, y1: 4, y2: 4 }));
  return picture;
}

function niceTop(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((times) => times * unit >= value * 0.999);
}

function svg(tag, attributes, text) {
  const node = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function showEffects() {
  const heads = ["word", "run", "ACS", "P-ADC", "L-ADC", "SF-IoU", "chance", "random word", "map difference"];
  const rows = data.words.flatMap((word) => word.effects.map((each, i) => ({
    cells: [word.label, each.of, signed(each.acs), number(each.p_adc), number(each.l_adc), number(each.sf_iou), number(each.chance),
      each.random_word === null ? "–" : `${number(each.random_sf_iou)} (${each.random_word})`, number(each.map_difference, 5)],
    kind: `${i ? "beside" : ""}${i === word.effects.length - 1 ? " ends" : ""}`,
  })));
  fill("effects-table", heads, rows.map((each) => each.cells), rows.map((each) => each.kind));
}

function showFacts() {
  byId("means").append(...data.definition.map((text) => element("p", {}, text)));
  fill("facts", ["fact", ...data.facts.names], data.facts.rows.map((row) => row.cells), data.facts.rows.map((row) => (row.differs ? "differs" : "")));
}

function fill(id, heads, rows, kinds = []) {
  const cells = (row) => row.map((value, i) => (i ? element("td", {}, value) : element("th", { scope: "row" }, value)));
  byId(id).replaceChildren(
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows.map((row, i) => element("tr", { class: kinds[i] || null }, ...cells(row)))),
  );
}

function switchTheme() {
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
  wear(kept);
  for (const input of document.querySelectorAll("input[name=theme]")) {
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
}
