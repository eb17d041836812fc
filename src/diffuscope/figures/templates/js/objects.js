// The objects that the prompt names, outlined over the picture; a switch for each category.

import { byId, element } from "./store.js";

const SVG = "http://www.w3.org/2000/svg";

export function showObjects(data) {
  const section = byId("objects");
  if (!data.objects) {
    section.remove();
    return;
  }
  section.hidden = false;
  const { found, colours, chain, reader } = data.objects, { width, height, source } = data.picture;
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `Objects: ${found.map((each) => each.text).join(", ")}`);
  const shapes = found.map((each) => {
    const group = document.createElementNS(SVG, "g"), path = document.createElementNS(SVG, "path"), box = document.createElementNS(SVG, "rect");
    const [x, y, wide, high] = each.box, line = Math.max(width, height) / 256;
    for (const [node, attributes] of [
      [path, { d: each.path, fill: colours[each.category], "fill-opacity": 0.35, "fill-rule": "evenodd", stroke: colours[each.category], "stroke-width": line }],
      [box, { x, y, width: wide, height: high, fill: "none", stroke: colours[each.category], "stroke-width": line / 2, "stroke-dasharray": line * 3 }],
    ]) for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    group.append(path, box);
    drawing.append(group);
    return [each.category, group];
  });
  byId("objects-picture").append(...(source ? [element("img", { src: source, alt: "" })] : []), drawing);
  byId("objects-switches").append(...Object.keys(colours).map((name) => {
    const input = element("input", { type: "checkbox", checked: true });
    input.addEventListener("change", () => {
      for (const [category, group] of shapes) if (category === name) group.style.display = input.checked ? "" : "none";
    });
    const swatch = element("i", { "aria-hidden": "true" });
    swatch.style.background = colours[name];
    return element("label", { class: "check" }, input, swatch, element("span", {}, name));
  }));
  byId("objects-rows").append(...found.flatMap((each) => [
    element("dt", {}, each.text),
    element("dd", {}, `${(100 * each.share).toFixed(1)}% of the picture, score ${each.score}, box ${each.box.join(" ")}`)]));
  byId("objects-how").textContent = `Prompt read by ${reader}; chain: ${chain}. Score: mean attention probability inside the mask.`;
}
