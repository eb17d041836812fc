// Several words together: their maps and masses add up, exactly as `run.phrase` adds them. A phrase that was asked for
// becomes one more entry of data.words, so every view takes it as it takes a word.

export function phrase(data, maps, parts) {
  const order = [...new Set(parts)].sort((a, b) => a - b);
  if (order.length === 1) return order[0];
  const label = order.map((part) => data.words[part].label).join(" + ");
  const known = data.words.findIndex((word) => word.label === label);
  if (known >= 0) return known;
  const slots = data.words[order[0]].mass.map((_, slot) => slot);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  data.words.push({
    label, name: `“${label}”`, title: label, text: label, short: label, kind: "phrase", parts: order, note: null,
    mass: slots.map((slot) => sum(order.map((part) => data.words[part].mass[slot]))),
  });
  maps.add(slots.map((slot) => {
    const total = new Float32Array(maps.area);
    for (const part of order) maps.get(part, slot).forEach((value, i) => { total[i] += value; });
    return total;
  }));
  return data.words.length - 1;
}

// The words that a chosen entry is made of; start and end tokens are no words.
export function partsOf(data, word) {
  const { kind, parts } = data.words[word];
  return kind === "phrase" ? parts : kind === "word" ? [word] : [];
}

// What a label asks for: a word, words joined by " + ", or words that stand side by side ("red circle"); or null.
export function findWords(data, maps, label) {
  const same = (a, b) => a.toLowerCase() === b.toLowerCase();
  const find = (text) => data.words.findIndex((word) => same(word.label, text));
  const whole = find(label);
  if (whole >= 0) return whole;
  if (label.includes(" + ")) {
    const parts = label.split(" + ").map(find);
    return parts.every((part) => part >= 0 && data.words[part].kind === "word") ? phrase(data, maps, parts) : null;
  }
  const wanted = label.split(/\s+/), plain = data.words.flatMap((word, i) => (word.kind === "word" ? [i] : []));
  for (let start = 0; wanted.length > 1 && start + wanted.length <= plain.length; start++) {
    const here = plain.slice(start, start + wanted.length);
    if (here.every((word, i) => same(data.words[word].label, wanted[i]) || same(data.words[word].text, wanted[i]))) return phrase(data, maps, here);
  }
  return null;
}
