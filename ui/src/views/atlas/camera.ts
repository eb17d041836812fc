// Where one looks at the atlas from, in its own units: one is the width of a cell. Screen coordinates are CSS pixels of the
// stage, from its top left.

export interface Camera {
  x: number; // what stands in the middle of the stage
  y: number;
  span: number; // how many units the stage is wide
}

export interface Size {
  width: number;
  height: number;
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export const scaleOf = (camera: Camera, size: Size): number => size.width / camera.span;

export function toScreen({ x, y }: { x: number; y: number }, camera: Camera, size: Size): { x: number; y: number } {
  const scale = scaleOf(camera, size);
  return { x: (x - camera.x) * scale + size.width / 2, y: (y - camera.y) * scale + size.height / 2 };
}

export function toWorld({ x, y }: { x: number; y: number }, camera: Camera, size: Size): { x: number; y: number } {
  const scale = scaleOf(camera, size);
  return { x: (x - size.width / 2) / scale + camera.x, y: (y - size.height / 2) / scale + camera.y };
}

export const panned = (camera: Camera, right: number, down: number, size: Size): Camera => {
  const scale = scaleOf(camera, size);
  return { ...camera, x: camera.x - right / scale, y: camera.y - down / scale };
};

// Nearer by a factor; the point of the screen given stays over what it is over.
export function zoomed(camera: Camera, factor: number, at: { x: number; y: number }, size: Size): Camera {
  const span = camera.span / factor;
  const before = toWorld(at, camera, size);
  const after = toWorld(at, { ...camera, span }, size);
  return { x: camera.x + before.x - after.x, y: camera.y + before.y - after.y, span };
}

// The camera that shows a box whole, with a margin in pixels on each side.
export function fitted(box: Box, size: Size, margin: { x: number; top: number; bottom: number }): Camera {
  const wide = Math.max(40, size.width - 2 * margin.x);
  const high = Math.max(40, size.height - margin.top - margin.bottom);
  const scale = Math.max(1e-6, Math.min(wide / Math.max(1e-6, box.width), high / Math.max(1e-6, box.height)));
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 - (margin.top - margin.bottom) / 2 / scale, span: size.width / scale };
}

// No farther than three times the whole, no nearer than a cell that is three times as wide as the stage; the middle stays
// on the atlas.
export function bounded(camera: Camera, box: Box, whole: Camera): Camera {
  const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
  return {
    x: clamp(camera.x, box.x, box.x + box.width),
    y: clamp(camera.y, box.y, box.y + box.height),
    span: clamp(camera.span, 0.35, Math.max(3 * whole.span, 3)),
  };
}

// The way between two views that is perceived as even: it goes out while it goes far. (van Wijk and Nuij, Smooth and
// efficient zooming and panning, 2003, section 4.) Returns the view at a share 0 … 1, and the length of the way.
export function flight(from: Camera, to: Camera): { at: (share: number) => Camera; length: number } {
  const CURVE = 1.42;
  const distance = Math.hypot(to.x - from.x, to.y - from.y);
  const zoom = Math.log(to.span / from.span);
  if (distance < 1e-9 * from.span) {
    return { length: Math.abs(zoom) / CURVE, at: (share) => (share >= 1 ? to : { x: to.x, y: to.y, span: from.span * Math.exp(zoom * share) }) };
  }
  const [w0, w1, r2] = [from.span, to.span, CURVE * CURVE];
  const turn = (sign: 1 | -1, w: number) => {
    const b = (w1 * w1 - w0 * w0 + sign * r2 * r2 * distance * distance) / (2 * w * r2 * distance);
    return Math.log(Math.sqrt(b * b + 1) - b);
  };
  const r0 = turn(1, w0);
  const length = (turn(-1, w1) - r0) / CURVE;
  const at = (share: number): Camera => {
    if (share <= 0) return from;
    if (share >= 1) return to;
    const s = share * length;
    const along = (w0 / r2) * (Math.cosh(r0) * Math.tanh(CURVE * s + r0) - Math.sinh(r0));
    return { x: from.x + ((to.x - from.x) * along) / distance, y: from.y + ((to.y - from.y) * along) / distance, span: (w0 * Math.cosh(r0)) / Math.cosh(CURVE * s + r0) };
  };
  return { at, length };
}
