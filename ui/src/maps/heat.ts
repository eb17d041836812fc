// Paints a map into a canvas: values go to the graphics card as they are, colours are found there. Without WebGL2 a 2D
// canvas paints the same picture more slowly.

import { table, type ColourName } from "./colours";
import { paintFlat } from "./heat2d";
import type { Heat } from "./series";

export type Look = "colour" | "light" | "relief";

export interface Painting {
  heat: Heat;
  range: readonly [number, number];
  colours: ColourName;
  smooth: boolean;
  opacity: number; // 0 … 1
  look: Look;
  outlines: readonly { heat: Heat; at: number; colour: readonly [number, number, number] }[]; // at most OUTLINES
}

export const OUTLINES = 4;

export interface Painter {
  readonly kind: "webgl2" | "2d";
  paint(painting: Painting): void;
  dispose(): void;
}

export function painter(canvas: HTMLCanvasElement): Painter {
  const context = canvas.getContext("webgl2", { premultipliedAlpha: true, antialias: false, preserveDrawingBuffer: true });
  if (context) {
    try {
      return new CardPainter(canvas, context);
    } catch {
      // A driver that compiles no shader is as good as none; the canvas is bound to it, so another takes its place.
    }
  }
  return { kind: "2d", paint: (painting) => paintFlat(canvas, painting), dispose: () => undefined };
}

const VERTEX = `#version 300 es
out vec2 place;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
  place = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

// Bilinear interpolation is of values, not of colours, between patch centres; edges are held.
const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
precision highp sampler2DArray;
in vec2 place;
out vec4 painted;
uniform sampler2D heat;
uniform sampler2D colours;
uniform sampler2DArray others;
uniform vec2 range;
uniform float opacity;
uniform bool smoothed;
uniform int look;
uniform int count;
uniform vec4 outline[${OUTLINES}];

float raw(vec2 at) {
  ivec2 size = textureSize(heat, 0);
  return texelFetch(heat, clamp(ivec2(floor(at * vec2(size))), ivec2(0), size - 1), 0).r;
}
float between(vec2 at) {
  ivec2 size = textureSize(heat, 0);
  vec2 p = at * vec2(size) - 0.5;
  ivec2 a = ivec2(floor(p));
  vec2 f = p - vec2(a);
  ivec2 last = size - 1;
  float tl = texelFetch(heat, clamp(a, ivec2(0), last), 0).r;
  float tr = texelFetch(heat, clamp(a + ivec2(1, 0), ivec2(0), last), 0).r;
  float bl = texelFetch(heat, clamp(a + ivec2(0, 1), ivec2(0), last), 0).r;
  float br = texelFetch(heat, clamp(a + ivec2(1, 1), ivec2(0), last), 0).r;
  return mix(mix(tl, tr, f.x), mix(bl, br, f.x), f.y);
}
float other(vec2 at, int layer) {
  ivec3 size = textureSize(others, 0);
  vec2 p = at * vec2(size.xy) - 0.5;
  ivec2 a = ivec2(floor(p));
  vec2 f = p - vec2(a);
  ivec2 last = size.xy - 1;
  float tl = texelFetch(others, ivec3(clamp(a, ivec2(0), last), layer), 0).r;
  float tr = texelFetch(others, ivec3(clamp(a + ivec2(1, 0), ivec2(0), last), layer), 0).r;
  float bl = texelFetch(others, ivec3(clamp(a + ivec2(0, 1), ivec2(0), last), layer), 0).r;
  float br = texelFetch(others, ivec3(clamp(a + ivec2(1, 1), ivec2(0), last), layer), 0).r;
  return mix(mix(tl, tr, f.x), mix(bl, br, f.x), f.y);
}
float unit(float value) {
  return range.y > range.x ? clamp((value - range.x) / (range.y - range.x), 0.0, 1.0) : 0.0;
}
void main() {
  float share = unit(smoothed ? between(place) : raw(place));
  vec3 colour = texelFetch(colours, ivec2(int(share * 255.0 + 0.5), 0), 0).rgb;
  float cover = opacity;
  if (look == 1) {
    colour = vec3(0.035);
    cover = opacity * (1.0 - share);
  } else if (look == 2) {
    vec2 gap = 0.75 / vec2(textureSize(heat, 0));
    float across = unit(between(place + vec2(gap.x, 0.0))) - unit(between(place - vec2(gap.x, 0.0)));
    float down = unit(between(place + vec2(0.0, gap.y))) - unit(between(place - vec2(0.0, gap.y)));
    vec3 normal = normalize(vec3(-across * 1.6, -down * 1.6, 1.0));
    float shade = dot(normal, normalize(vec3(-0.55, -0.65, 0.9)));
    colour *= 0.35 + 0.95 * max(shade, 0.0);
  }
  vec4 result = vec4(clamp(colour, 0.0, 1.0) * cover, cover);
  for (int i = 0; i < ${OUTLINES}; i++) {
    if (i >= count) break;
    float value = other(place, i);
    float width = max(fwidth(value), 1e-12);
    float line = 1.0 - smoothstep(0.7, 1.7, abs(value - outline[i].a) / width);
    result = mix(result, vec4(outline[i].rgb, 1.0), line);
  }
  painted = result;
}`;

// As many pixels as say something: one a patch where patches are shown raw and the browser enlarges them, else what the
// screen has; values between patch centres change slowly, so that more than SMOOTH a side would show nothing new.
const SMOOTH = 640;
function sizeFor(canvas: HTMLCanvasElement, { heat, smooth, look, outlines }: Pick<Painting, "heat" | "smooth" | "look" | "outlines">): { width: number; height: number } {
  if (!smooth && look !== "relief" && outlines.length === 0) return { width: heat.width, height: heat.height };
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth * ratio || heat.width, canvas.clientHeight * ratio || heat.height];
  // Outlines are lines: they are as sharp as the screen is.
  const by = outlines.length > 0 ? 1 : Math.min(1, SMOOTH / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * by)), height: Math.max(1, Math.round(height * by)) };
}

class CardPainter implements Painter {
  readonly kind = "webgl2" as const;
  private readonly program: WebGLProgram;
  private readonly at: Record<string, WebGLUniformLocation | null>;
  private readonly textures: { heat: WebGLTexture; colours: WebGLTexture; others: WebGLTexture };
  // What lies in the textures.
  private held: { heat: Float32Array | null; size: string; colours: string; others: readonly Float32Array[] | null } = { heat: null, size: "", colours: "", others: null };

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
  ) {
    this.program = linked(gl);
    gl.useProgram(this.program);
    const names = ["heat", "colours", "others", "range", "opacity", "smoothed", "look", "count", "outline"];
    this.at = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(this.program, name)]));
    this.textures = { heat: bound(gl, 0, gl.TEXTURE_2D), colours: bound(gl, 1, gl.TEXTURE_2D), others: bound(gl, 2, gl.TEXTURE_2D_ARRAY) };
    gl.uniform1i(this.at.heat!, 0);
    gl.uniform1i(this.at.colours!, 1);
    gl.uniform1i(this.at.others!, 2);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.disable(gl.BLEND);
  }

  paint({ heat, range, colours, smooth, opacity, look, outlines }: Painting): void {
    const { gl, canvas } = this;
    const { width, height } = sizeFor(canvas, { heat, smooth, look, outlines });
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.style.imageRendering = width === heat.width ? "pixelated" : "auto";
    gl.viewport(0, 0, width, height);
    this.upload(heat);
    if (this.held.colours !== colours) {
      gl.activeTexture(gl.TEXTURE1);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 256, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, table(colours));
      this.held.colours = colours;
    }
    const lines = outlines.filter(({ heat: each }) => each.width === outlines[0]!.heat.width && each.height === outlines[0]!.heat.height).slice(0, OUTLINES);
    this.uploadOutlines(lines.map((each) => each.heat));
    gl.uniform2f(this.at.range!, range[0], range[1]);
    gl.uniform1f(this.at.opacity!, opacity);
    gl.uniform1i(this.at.smoothed!, smooth ? 1 : 0);
    gl.uniform1i(this.at.look!, { colour: 0, light: 1, relief: 2 }[look]);
    gl.uniform1i(this.at.count!, lines.length);
    const flat = new Float32Array(4 * OUTLINES);
    lines.forEach(({ colour: [r, g, b], at }, i) => flat.set([r / 255, g / 255, b / 255, at], 4 * i));
    gl.uniform4fv(this.at.outline!, flat);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // Values as they are; into the room of the last ones where they are as many.
  private upload({ values, width, height }: Heat): void {
    const { gl, held } = this;
    if (held.heat === values) return;
    gl.activeTexture(gl.TEXTURE0);
    const size = `${width}x${height}`;
    if (held.size === size) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RED, gl.FLOAT, values);
    else gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, width, height, 0, gl.RED, gl.FLOAT, values);
    Object.assign(held, { heat: values, size });
  }

  private uploadOutlines(heats: readonly Heat[]): void {
    const { gl, held } = this;
    if (held.others?.length === heats.length && heats.every((heat, i) => held.others![i] === heat.values)) return;
    // A texture that is bound has at least one value, though none is read.
    const { width, height } = heats[0] ?? { width: 1, height: 1 };
    const flat = new Float32Array(width * height * Math.max(1, heats.length));
    heats.forEach((heat, i) => flat.set(heat.values, i * width * height));
    gl.activeTexture(gl.TEXTURE2);
    gl.texImage3D(gl.TEXTURE_2D_ARRAY, 0, gl.R32F, width, height, Math.max(1, heats.length), 0, gl.RED, gl.FLOAT, flat);
    held.others = heats.map((heat) => heat.values);
  }

  dispose(): void {
    for (const texture of Object.values(this.textures)) this.gl.deleteTexture(texture);
    this.gl.deleteProgram(this.program);
  }
}

function bound(gl: WebGL2RenderingContext, unit: number, target: number): WebGLTexture {
  const texture = gl.createTexture()!;
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(target, texture);
  // Floats are not filterable everywhere; the shader interpolates by itself.
  gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  gl.texParameteri(target, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(target, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return texture;
}

function linked(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram()!;
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "no program");
  return program;
}

