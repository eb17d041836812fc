// Numbers of one map, and the sentence that a screen reader speaks for it.

// Highest patch, centre of mass in shares of width and height (patch centres), and mean over patches.
export function measure(map, width) {
  const height = map.length / width;
  let peak = 0, sum = 0, sumX = 0, sumY = 0;
  for (let i = 0; i < map.length; i++) {
    const value = map[i];
    if (value > map[peak]) peak = i;
    sum += value;
    sumX += value * ((i % width) + 0.5);
    sumY += value * (Math.floor(i / width) + 0.5);
  }
  return {
    mean: sum / map.length,
    peak: { x: peak % width, y: Math.floor(peak / width), value: map[peak] },
    centroid: sum > 0 ? { x: sumX / sum / width, y: sumY / sum / height } : null,
  };
}

export function region(x, y) {
  const across = ["left", "middle", "right"][Math.min(2, Math.floor(x * 3))];
  const down = ["upper", "middle", "lower"][Math.min(2, Math.floor(y * 3))];
  return down === across ? "middle" : `${down} ${across}`;
}

// Three significant digits; a plain zero stays a zero.
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "not kept";
  if (value === 0) return "0";
  return Math.abs(value) < 1e-4 ? value.toExponential(2) : value.toPrecision(3);
}

export const percent = (share) => `${(100 * share).toPrecision(share < 0.0995 ? 2 : 3)}%`;

// A word's part of the attention mass that all words of the prompt together have; start and end tokens stand outside.
export function share(data, word, slot) {
  const mass = data.words[word].mass[slot];
  let sum = 0;
  for (const other of data.words) if (other.kind === "word") sum += other.mass[slot];
  return sum > 0 ? mass / sum : 0;
}

export function when(data, slot) {
  return slot === 0 ? `all ${data.steps.length} steps` : `step ${data.steps[slot - 1].index}`;
}

export function sentence(data, maps, word, slot) {
  const { peak, centroid } = measure(maps.get(word, slot), maps.width);
  const place = region((peak.x + 0.5) / maps.width, (peak.y + 0.5) / maps.height);
  const parts = [
    `Map of ${data.words[word].name}, ${when(data, slot)}.`,
    `Peak ${number(peak.value)} at column ${peak.x}, row ${peak.y} of ${maps.width} by ${maps.height} patches, ${place}.`,
  ];
  if (centroid) parts.push(`Centroid ${percent(centroid.x)} across, ${percent(centroid.y)} down.`);
  parts.push(`Mass ${number(data.words[word].mass[slot])}${shareText(data, word, slot)}.`);
  return parts.join(" ");
}

export const hasShare = (data, word) => ["word", "phrase"].includes(data.words[word].kind);

function shareText(data, word, slot) {
  return hasShare(data, word) ? `, ${percent(share(data, word, slot))} of the words' attention` : "";
}
