// From values to colours. A range [low, high] maps linearly to the 256 colours of a table.

import { bytesFromBase64 } from "./maps.js";

export const decodeTable = (base64) => bytesFromBase64(base64);

// Paint one map into a canvas: a pixel a patch, or, smooth, values (not colours) interpolated between patch centres.
export function paint(canvas, map, width, { range, table, smooth, fine = 1 }) {
  const height = map.length / width;
  const factor = smooth ? fine : 1;
  const values = factor > 1 ? interpolate(map, width, factor) : map;
  const columns = width * factor, rows = height * factor;
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  canvas.classList.toggle("smooth", smooth);
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const [low, high] = range, scale = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) {
    const level = Math.max(0, Math.min(255, Math.round((values[i] - low) * scale)));
    image.data[4 * i] = table[3 * level];
    image.data[4 * i + 1] = table[3 * level + 1];
    image.data[4 * i + 2] = table[3 * level + 2];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Bilinear, half-pixel centres, edges held.
export function interpolate(map, width, factor) {
  const height = map.length / width;
  const out = new Float32Array(map.length * factor * factor);
  const across = weights(width, factor), down = weights(height, factor);
  let at = 0;
  for (const [y0, y1, v] of down) {
    for (const [x0, x1, u] of across) {
      const top = map[y0 * width + x0] * (1 - u) + map[y0 * width + x1] * u;
      const bottom = map[y1 * width + x0] * (1 - u) + map[y1 * width + x1] * u;
      out[at++] = top * (1 - v) + bottom * v;
    }
  }
  return out;
}

function weights(size, factor) {
  return Array.from({ length: size * factor }, (_, i) => {
    const place = Math.max(0, Math.min(size - 1, (i + 0.5) / factor - 0.5));
    const first = Math.floor(place);
    return [first, Math.min(size - 1, first + 1), place - first];
  });
}

// Colour stops for a CSS gradient.
export function stops(table) {
  return Array.from({ length: 33 }, (_, i) => {
    const level = 3 * Math.round((i * 255) / 32);
    return `rgb(${table[level]} ${table[level + 1]} ${table[level + 2]})`;
  }).join(", ");
}

// The range of colours for one map, and what it is called on the page.
export function colourRange(data, maps, mode, word, slot) {
  if (mode === "map") return { range: maps.range(`map ${word} ${slot}`, [word], slot), label: "this map by itself" };
  if (mode === "word") return { range: maps.range(`word ${word}`, [word]), label: "this word, over its steps" };
  // What is shown is always part of it: a phrase, and a start or end token, may go beyond the words' own range.
  const plain = data.words[word].kind === "word";
  const words = data.words.flatMap((other, i) => (other.kind === "word" || i === word ? [i] : []));
  const label = plain ? "all words, all steps" : "all words and this, all steps";
  return { range: maps.range(plain ? label : `${label} ${word}`, words), label };
}
