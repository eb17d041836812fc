// Attention mass of every word over the steps, as curves on the same axis as the slider and the strip.

import { hasShare, number, percent, share } from "./measures.js";
import { byId, element } from "./store.js";
import { dragSteps } from "./timeline.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const LINE = 12.5; // px from one name to the next

export function showChart(data, store) {
  const box = byId("chart");
  const picture = svg("svg", { role: "img" });
  const tip = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  box.append(picture, tip);
  let geometry = null;

  const valueOf = (word, step, curve) => (curve === "share" ? share(data, word, step + 1) : data.words[word].mass[step + 1]);
  const text = (value, curve) => (curve === "share" ? percent(value) : number(value));
  // A start or end token is drawn on request, or while it is the word that is shown; it has no share among words.
  const drawn = ({ word, special, curve }) =>
    data.words.flatMap((other, i) => (other.kind === "word" || (i === word && (curve === "mass" || hasShare(data, i))) || (special && curve === "mass" && other.kind !== "phrase") ? [i] : []));

  function draw(state) {
    const style = getComputedStyle(byId("track"));
    const left = parseFloat(style.getPropertyValue("--left")), right = parseFloat(style.getPropertyValue("--right"));
    const width = box.clientWidth, height = box.clientHeight, top = 8, bottom = 34;
    if (!width) return;
    const words = drawn(state), count = data.steps.length;
    const highest = Math.max(1e-12, ...words.flatMap((word) => data.steps.map((_, i) => valueOf(word, i, state.curve))));
    const ticks = niceTicks(highest);
    const x = (step) => left + ((step + 0.5) / count) * (width - left - right);
    const y = (value) => height - bottom - (value / ticks.at(-1)) * (height - top - bottom);
    geometry = { x, y, left, right, width, top, bottom: height - bottom, words };

    picture.replaceChildren();
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const tick of ticks) {
      picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }));
      picture.append(svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, state.curve === "share" ? `${Number((tick * 100).toFixed(4))}%` : String(Number(tick.toFixed(8)))));
    }
    const every = niceStride(count, (width - left - right) / 34);
    data.steps.forEach((step, i) => {
      if (i % every === 0 || (i === count - 1 && i % every > every / 2)) picture.append(svg("text", { x: x(i), y: height - bottom + 15, "text-anchor": "middle" }, String(step.index)));
    });
    picture.append(svg("text", { x: left, y: height - 3 }, "step, 0 is the noisiest"));
    drawWindow(data.words[state.word].window);
    const hairline = svg("line", { class: "hairline", y1: top, y2: height - bottom, visibility: "hidden" });
    picture.append(hairline);
    for (const word of [...words.filter((i) => i !== state.word), state.word].filter((i) => words.includes(i))) {
      const points = data.steps.map((_, i) => `${x(i).toFixed(1)},${y(valueOf(word, i, state.curve)).toFixed(1)}`);
      const kind = `${["start", "end"].includes(data.words[word].kind) ? " special" : ""}${word === state.word ? " selected" : ""}`;
      picture.append(svg("polyline", { class: `curve${kind}`, "data-word": word, points: points.join(" ") }));
    }
    drawNames(state);
    picture.append(svg("line", { class: "playhead", y1: top, y2: height - bottom }), svg("circle", { class: "playhead-dot", r: 4 }));
    picture.setAttribute("aria-label", summary(state));
    movePlayhead(state);
  }

  // The steps in which an edit of the selected word counts, where that was drawn.
  function drawWindow(counts) {
    if (!counts) return;
    const inside = data.steps.flatMap((step, i) => (step.index >= counts.start && step.index < counts.stop ? [i] : []));
    if (!inside.length) return;
    const { x, top, bottom } = geometry, half = (x(1) - x(0)) / 2;
    const from = x(inside[0]) - half, to = x(inside.at(-1)) + half;
    picture.append(svg("rect", { class: "window", x: from, y: top, width: to - from, height: bottom - top }));
    picture.append(svg("text", { class: "window-name", x: from + 4, y: top + 11 }, "counts here"));
  }

  // Names stand at the right end of their curves, pushed apart; with no room, only the selected one stays.
  function drawNames(state) {
    const { words, x, y, right, width, top, bottom } = geometry;
    if (right < 60) return;
    const last = data.steps.length - 1;
    let names = words.map((word) => ({ word, wish: y(valueOf(word, last, state.curve)) })).sort((a, b) => a.wish - b.wish);
    const room = Math.floor((bottom + 14 - top) / LINE);
    if (names.length > room) names = names.filter(({ word }, i) => word === state.word || i % Math.ceil(names.length / (room - 1)) === 0);
    spread(names, top, bottom + 14);
    const edge = width - right;
    for (const { word, wish, at } of names) {
      picture.append(svg("path", { class: "leader", d: `M${x(last)},${wish} L${edge + 2},${wish} L${edge + 12},${at}` }));
      const label = data.words[word].short;
      const name = svg("text", { class: `name${word === state.word ? " selected" : ""}`, x: edge + 15, y: at + 4, "data-word": word }, label.length > 13 ? `${label.slice(0, 12)}…` : label);
      name.addEventListener("pointerdown", (event) => { event.stopPropagation(); store.set({ word }); });
      picture.append(name);
    }
  }

  function movePlayhead({ word, step, curve }) {
    const line = picture.querySelector(".playhead"), dot = picture.querySelector(".playhead-dot");
    if (!line) return;
    const hidden = step === null;
    for (const mark of [line, dot]) mark.setAttribute("visibility", hidden ? "hidden" : "visible");
    if (hidden) return;
    line.setAttribute("x1", geometry.x(step));
    line.setAttribute("x2", geometry.x(step));
    dot.setAttribute("visibility", geometry.words.includes(word) ? "visible" : "hidden");
    dot.setAttribute("cx", geometry.x(step));
    dot.setAttribute("cy", geometry.y(valueOf(word, step, curve)));
  }

  function summary({ word, curve }) {
    const values = data.steps.map((_, i) => valueOf(word, i, curve));
    const most = values.indexOf(Math.max(...values));
    return `${curve === "share" ? "Share of the words' attention mass" : "Attention mass"} over the steps, a curve a word. ${data.words[word].name}: ${text(values[0], curve)} at step ${data.steps[0].index}, highest ${text(values[most], curve)} at step ${data.steps[most].index}, ${text(values.at(-1), curve)} at step ${data.steps.at(-1).index}. All values are in the table below.`;
  }

  const stepAt = (event) => {
    if (!geometry) return -1;
    const share = (event.clientX - box.getBoundingClientRect().left - geometry.left) / (geometry.width - geometry.left - geometry.right);
    return share < 0 || share > 1 ? -1 : Math.min(data.steps.length - 1, Math.floor(share * data.steps.length));
  };

  function hover(event) {
    const step = stepAt(event), hairline = picture.querySelector(".hairline");
    if (!hairline) return;
    hairline.setAttribute("visibility", step >= 0 ? "visible" : "hidden");
    tip.hidden = step < 0;
    if (step < 0) return;
    hairline.setAttribute("x1", geometry.x(step));
    hairline.setAttribute("x2", geometry.x(step));
    const { word, curve } = store.state;
    const rows = geometry.words.map((i) => [i, valueOf(i, step, curve)]).sort((a, b) => b[1] - a[1]);
    const shown = rows.filter(([i], place) => place < 12 || i === word);
    tip.replaceChildren(element("p", { class: "head" }, element("span", {}, `step ${data.steps[step].index}`), element("span", {}, curve === "share" ? "share" : "mass")),
      ...shown.map(([i, value]) => element("p", { class: i === word ? "selected" : "" }, element("span", {}, data.words[i].short), element("span", {}, text(value, curve)))),
      ...(rows.length > shown.length ? [element("p", { class: "head" }, `and ${rows.length - shown.length} more`)] : []));
    const at = geometry.x(step), before = at + tip.offsetWidth + 16 > geometry.width;
    tip.style.left = before ? `${Math.max(0, at - tip.offsetWidth - 12)}px` : `${at + 12}px`;
  }

  box.addEventListener("pointermove", hover);
  box.addEventListener("pointerleave", () => {
    tip.hidden = true;
    picture.querySelector(".hairline")?.setAttribute("visibility", "hidden");
  });
  dragSteps(box, stepAt, (step) => store.set({ step, playing: false }));
  for (const input of document.querySelectorAll("input[name=curve]")) input.addEventListener("change", () => store.set({ curve: input.value }));
  byId("special").addEventListener("change", (event) => store.set({ special: event.target.checked }));

  store.watch(["word", "curve", "special"], (state) => {
    byId("chart-hint").textContent = state.curve === "share"
      ? "Share: a word's attention mass against that of all words of the prompt at the same step."
      : "Attention mass: mean over patches of the word's map at that step. Click or drag to go to a step.";
    draw(state);
  });
  store.watch(["step"], movePlayhead);
  new ResizeObserver(() => draw(store.state)).observe(box);
}

// Moves names apart as little as can be: neighbours that touch form a block around the mean of their wishes.
function spread(names, top, bottom) {
  const blocks = [];
  for (const name of names) {
    let block = { names: [name], sum: name.wish };
    const start = ({ names: { length }, sum }) => Math.max(top, Math.min(bottom - length * LINE, sum / length - (length * LINE) / 2));
    block.start = start(block);
    for (let above = blocks.at(-1); above && above.start + above.names.length * LINE > block.start; above = blocks.at(-1)) {
      blocks.pop();
      block = { names: [...above.names, ...block.names], sum: above.sum + block.sum };
      block.start = start(block);
    }
    blocks.push(block);
  }
  for (const block of blocks) block.names.forEach((name, i) => { name.at = block.start + (i + 0.5) * LINE; });
}

function svg(tag, attributes = {}, text = null) {
  const node = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
}

// From zero to just above the highest value, in three to five even steps of 1, 2 or 5 times a power of ten.
function niceTicks(highest) {
  const power = 10 ** Math.floor(Math.log10(highest / 3));
  const stride = [1, 2, 5, 10].map((factor) => factor * power).find((size) => highest / size <= 4.5) ?? 10 * power;
  return Array.from({ length: Math.ceil(highest / stride - 1e-9) + 1 }, (_, i) => i * stride);
}

const niceStride = (count, room) => [1, 2, 5, 10, 20, 50, 100, 200].find((stride) => count / stride <= room) ?? 500;
