// The atlas on the graphics card. A cell is one quad; its patches are fetched from the bytes as they came, and their values
// and colours worked out there, so that a step, a range or a turn costs a few numbers and no upload.

import { ROW } from "./tiles";

const BITS = Math.log2(ROW);

export const CELLS = `#version 300 es
layout(location = 0) in vec4 from;     // x, y, width, height in the atlas
layout(location = 1) in vec4 to;
layout(location = 2) in vec4 whole;    // of the overview: first byte, stride of a slot, width, height
layout(location = 3) in vec4 fine;     // of the detail: first byte, place in its ranges, width, height; width 0: none
layout(location = 4) in vec4 tint;     // colour of the frame; alpha 0: no frame
layout(location = 5) in vec4 look;     // place in the ranges, visibility before and after, unused
uniform mat4 view;
uniform float share;                   // of the way from \`from\` to \`to\`
uniform float margin;                  // of the frame, in the atlas
uniform float depth;
uniform float pixels;                  // of the screen in one unit of the atlas
uniform int slot;
out vec2 local;
flat out vec2 extent;
flat out vec4 source;                  // first byte, place, width, height
flat out int detailed;
flat out vec4 frame;
flat out float shown;
void main() {
  vec4 box = from.z <= 0.0 ? to : to.z <= 0.0 ? from : mix(from, to, share);
  shown = mix(look.y, look.z, share);
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  extent = box.zw;
  local = corner * (extent + 2.0 * margin) - margin;
  bool near = fine.z > 0.0 && extent.x * pixels > 1.2 * whole.z;
  detailed = near ? 1 : 0;
  source = near ? fine : vec4(whole.x + float(slot) * whole.y, look.x, whole.zw);
  frame = tint;
  bool here = look.x >= 0.0 && box.z > 0.0 && shown > 0.004;
  gl_Position = here ? view * vec4(box.xy + local, depth, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
}`;

export const MAPS = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
in vec2 local;
flat in vec2 extent;
flat in vec4 source;
flat in int detailed;
flat in vec4 frame;
flat in float shown;
out vec4 painted;
uniform sampler2D bytes;
uniform sampler2D fineBytes;
uniform sampler2D ranges;      // least, greatest of each map: [slot, place]
uniform sampler2D fineRanges;
uniform sampler2D colours;
uniform int slot;
uniform vec2 range;            // of all maps; the same twice: each map's own
uniform bool about0;           // values with signs: the colours' middle is zero
uniform bool smoothed;
uniform float margin;
uniform float veil;            // how clear low values are, for planes behind one another
uniform float light;
uniform float edges;           // whether cells have their frames

float stored(ivec2 at, ivec2 size, int first) {
  ivec2 p = clamp(at, ivec2(0), size - 1);
  int i = first + p.y * size.x + p.x;
  ivec2 texel = ivec2(i & ${ROW - 1}, i >> ${BITS});
  return detailed == 1 ? texelFetch(fineBytes, texel, 0).r : texelFetch(bytes, texel, 0).r;
}
float patches(vec2 at, vec2 pixel, int first) {
  ivec2 size = ivec2(source.zw);
  vec2 p = at * source.zw;
  if (smoothed) {
    vec2 q = p - 0.5;
    ivec2 a = ivec2(floor(q));
    vec2 f = q - vec2(a);
    return mix(mix(stored(a, size, first), stored(a + ivec2(1, 0), size, first), f.x), mix(stored(a + ivec2(0, 1), size, first), stored(a + 1, size, first), f.x), f.y);
  }
  // Where a pixel covers several patches it shows their mean.
  vec2 over = pixel * source.zw;
  int several = int(min(4.0, ceil(max(over.x, over.y) - 0.25)));
  if (several < 2) return stored(ivec2(floor(p)), size, first);
  float sum = 0.0;
  for (int y = 0; y < several; y++)
    for (int x = 0; x < several; x++)
      sum += stored(ivec2(floor(p + over * ((vec2(x, y) + 0.5) / float(several) - 0.5))), size, first);
  return sum / float(several * several);
}
void main() {
  vec2 pixel = max(fwidth(local), vec2(1e-6));
  vec2 inside = min(local, extent - local) / pixel + 0.5;
  float map = clamp(min(inside.x, inside.y), 0.0, 1.0);
  vec2 outside = min(local + margin, extent + margin - local) / pixel + 0.5;
  float whole = clamp(min(outside.x, outside.y), 0.0, 1.0);
  float edge = frame.a * edges;
  vec4 around = vec4(frame.rgb, 1.0) * edge * whole;
  if (map <= 0.0 && edge <= 0.0) discard;
  int place = int(source.y);
  vec2 own = detailed == 1 ? texelFetch(fineRanges, ivec2(place, 0), 0).rg : texelFetch(ranges, ivec2(place, slot), 0).rg;
  float value = own.x + (own.y - own.x) * patches(local / extent, pixel / extent, int(source.x));
  vec2 ends = range.x == range.y ? own : range;
  if (about0) {
    float most = max(abs(ends.x), abs(ends.y));
    ends = vec2(-most, most);
  }
  float level = ends.y > ends.x ? clamp((value - ends.x) / (ends.y - ends.x), 0.0, 1.0) : about0 ? 0.5 : 0.0;
  vec3 colour = texelFetch(colours, ivec2(int(level * 255.0 + 0.5), 0), 0).rgb;
  float seen = mix(1.0, about0 ? abs(2.0 * level - 1.0) : level, veil);
  vec4 cell = vec4(colour, 1.0) * seen * light;
  painted = mix(around, cell, map) * shown;
}`;

export const SPRITES = `#version 300 es
layout(location = 0) in vec4 box;      // pixels of the screen
layout(location = 1) in vec4 place;    // pixels of the sheet
layout(location = 2) in float alpha;
uniform vec2 screen;
uniform vec2 sheet;
out vec2 at;
flat out float cover;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = (place.xy + corner * place.zw) / sheet;
  cover = alpha;
  vec2 p = (box.xy + corner * box.zw) / screen * 2.0 - 1.0;
  gl_Position = vec4(p.x, -p.y, 0.0, 1.0);
}`;

export const WORDS = `#version 300 es
precision highp float;
in vec2 at;
flat in float cover;
out vec4 painted;
uniform sampler2D letters;
void main() { painted = texture(letters, at) * cover; }`;
