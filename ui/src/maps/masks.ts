// Masks in COCO's uncompressed run lengths, and their outlines.

export function maskOf({ size: [height, width], counts }: { size: [number, number]; counts: readonly number[] }): Uint8Array {
  const mask = new Uint8Array(width * height);
  let at = 0;
  counts.forEach((length, i) => {
    if (i % 2) for (let j = at; j < at + length; j++) mask[(j % height) * width + Math.floor(j / height)] = 1;
    at += length;
  });
  return mask;
}

// The path of an SVG along the edges of a mask's pixels; edges in a row are one line.
export function outline(mask: Uint8Array, width: number, height: number): string {
  const at = (x: number, y: number) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const parts: string[] = [];
  const along = (first: number, second: number, edge: (a: number, b: number) => boolean, line: (a: number, from: number, to: number) => string) => {
    for (let a = 0; a <= first; a++) {
      for (let b = 0; b < second; b++) {
        if (!edge(a, b)) continue;
        const from = b;
        while (b < second && edge(a, b)) b++;
        parts.push(line(a, from, b));
      }
    }
  };
  along(height, width, (y, x) => at(x, y) !== at(x, y - 1), (y, from, to) => `M${from} ${y}H${to}`);
  along(width, height, (x, y) => at(x, y) !== at(x - 1, y), (x, from, to) => `M${x} ${from}V${to}`);
  return parts.join("");
}
