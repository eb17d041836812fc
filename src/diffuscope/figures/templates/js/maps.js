// The maps, decoded once into one Float32Array [word, slot, y, x]. Slot 0 is the aggregate over all steps,
// slot 1 + i is step i. Values are attention probabilities, never scaled for display.

export function bytesFromBase64(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

// IEEE 754 binary16, as numpy's float16 writes it (little-endian). Not every browser has Float16Array yet.
export function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export function decodeMaps({ encoding, data, ranges, shape }) {
  const [words, slots, height, width] = shape;
  const bytes = bytesFromBase64(data);
  const values = new Float32Array(words * slots * height * width);
  if (encoding === "float16") {
    for (let i = 0; i < values.length; i++) values[i] = float16(bytes[2 * i] | (bytes[2 * i + 1] << 8));
  } else {
    const area = height * width;
    for (let i = 0; i < values.length; i++) {
      const [low, high] = ranges[Math.floor(i / area)];
      values[i] = low + (bytes[i] / 255) * (high - low);
    }
  }
  return new Maps(values, words, slots, height, width);
}

class Maps {
  constructor(values, words, slots, height, width) {
    Object.assign(this, { values, words, slots, height, width });
    this.area = height * width;
    this.ranges = new Map();
    this.added = [];
  }

  // Maps of one more word, one a slot; it gets the next index.
  add(maps) {
    this.added.push(maps);
  }

  // One map [y, x], a view without copying.
  get(word, slot) {
    if (word >= this.words) return this.added[word - this.words][slot];
    const start = (word * this.slots + slot) * this.area;
    return this.values.subarray(start, start + this.area);
  }

  // [lowest, highest] value of some words' maps, over one slot or over all; remembered under a name.
  range(name, words, slot = null) {
    if (!this.ranges.has(name)) {
      let low = Infinity, high = -Infinity;
      for (const word of words) {
        for (let s = slot ?? 0; s <= (slot ?? this.slots - 1); s++) {
          for (const value of this.get(word, s)) {
            if (value < low) low = value;
            if (value > high) high = value;
          }
        }
      }
      this.ranges.set(name, [low, high]);
    }
    return this.ranges.get(name);
  }
}
