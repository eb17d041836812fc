// The particles on the graphics card. `PLACE` is `diffuscope.morph.field` and `diffuscope.morph.motion` line by line: a
// particle's place, colour and weight come from its number, the seed, the textures and the moment, and from nothing
// before. No particle has any memory, on the card or elsewhere. A browser test holds its places to those of Python.

const PLACE = /* glsl */ `
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp sampler2DArray;

uniform sampler2D attention;   // [plane, step, y, x], flat in rows of ROW
uniform sampler2DArray colours;
uniform sampler2D palette;
uniform bool painted;          // colours from the palette over the stability
uniform ivec3 shape;           // patches across, down, steps
uniform int words;
uniform uint seed;
uniform float progress, focus, time, aspect;
uniform vec2 phases;

const int ROW = 2048;
const float TURN = 6.283185307179586;
const float RELIEF = 0.42;
const float GOLDEN = 2.399963;

uint mixed(uint x) {
  x ^= x >> 16u;
  x *= 0x7FEB352Du;
  x ^= x >> 15u;
  x *= 0x846CA68Bu;
  return x ^ (x >> 16u);
}

float chance(uint id, uint stream) {
  return float(mixed(id ^ mixed(seed * 0x9E3779B9u + stream * 0x85EBCA6Bu)) >> 8u) / 16777216.0;
}

float rise(float low, float high, float x) {
  float at = clamp((x - low) / (high - low), 0.0, 1.0);
  return at * at * (3.0 - 2.0 * at);
}

float texel(int at) {
  return texelFetch(attention, ivec2(at % ROW, at / ROW), 0).r;
}

// Of a plane at a step, at a place of the picture: between the four patches around it, edges held.
float patches(int plane, int step, vec2 home) {
  vec2 at = home * vec2(shape.xy) - 0.5;
  vec2 corner = floor(at);
  vec2 part = at - corner;
  ivec2 low = clamp(ivec2(corner), ivec2(0), shape.xy - 1);
  ivec2 high = clamp(ivec2(corner) + 1, ivec2(0), shape.xy - 1);
  int base = (plane * shape.z + step) * shape.x * shape.y;
  return mix(
    mix(texel(base + low.y * shape.x + low.x), texel(base + low.y * shape.x + high.x), part.x),
    mix(texel(base + high.y * shape.x + low.x), texel(base + high.y * shape.x + high.x), part.x), part.y);
}

vec3 wind(vec3 place, vec3 luck, vec2 character) {
  float t = time * TURN, angle = character.x;
  vec3 p = place * character.y;
  vec3 eddies = vec3(
    sin(2.1 * p.y + 1.3 * p.z + angle + t) + 0.5 * sin(4.7 * p.y - 2.9 * p.x + 2.0 * t + 1.7 * angle),
    sin(1.9 * p.z + 1.7 * p.x + 1.9 * angle - t) + 0.5 * sin(5.3 * p.x + 3.1 * p.z - 2.0 * t),
    sin(2.3 * p.x + 1.1 * p.y + 0.7 * angle + t) + 0.5 * sin(4.3 * p.y + 3.7 * p.x + 3.0 * t)) / 1.5;
  return 0.72 * eddies + 0.28 * sin(TURN * luck + t + angle);
}

vec2 phased(float at) {
  return vec2(rise(phases.x - 0.16, phases.x + 0.22, at), rise(phases.y - 0.16, phases.y + 0.26, at));
}

void place(uint id, out vec3 position, out vec3 colour, out float weight, out float stable) {
  vec2 home = vec2((uvec2(3242174889u, 2447445414u) * id + 0x80000000u) >> 8u) / 16777216.0;
  vec3 luck = vec3(chance(id, 0u), chance(id, 1u), chance(id, 2u));
  float delay = chance(id, 3u);
  float radius = sqrt(-2.0 * log(1.0 - 0.985 * chance(id, 4u))) * 0.62, around = TURN * chance(id, 5u);
  vec3 free = vec3(radius * cos(around) * (1.0 + aspect) / 2.0, radius * sin(around), (chance(id, 6u) - 0.5) * 1.5);
  vec3 flat_ = vec3((home.x * 2.0 - 1.0) * aspect, 1.0 - 2.0 * home.y, 0.0);

  float at = clamp(progress, 0.0, 1.0) * float(shape.z - 1);
  int first = min(int(at), shape.z - 2);
  float part = at - float(first);
  float lift = mix(patches(0, first, home), patches(0, first + 1, home), part);
  colour = mix(textureLod(colours, vec3(home, first), 0.0).rgb, textureLod(colours, vec3(home, first + 1), 0.0).rgb, part);
  stable = lift;
  vec2 character = vec2(0.0, 1.0);
  if (words > 0) {
    int owner = 0;
    float most = -1.0;
    for (int word = 0; word < words; word++) {
      float last = patches(word + 1, shape.z - 1, home);
      if (last > most) { most = last; owner = word; }
    }
    stable = mix(patches(owner + 1, first, home), patches(owner + 1, first + 1, home), part);
    character = vec2(GOLDEN * float(owner + 1), 1.0 + 0.45 * float(owner % 3));
  }

  // The whole picture: noise, structure and detail flow into one another.
  float lead = 0.07 * (lift - 0.5) + 0.05 * (delay - 0.5);
  float own = progress + lead * rise(0.0, 0.12, progress);
  vec2 come = phased(own + (1.0 - own) * rise(0.90, 1.0, progress));
  vec3 seat = flat_ + vec3(0.0, 0.0, lift * RELIEF * (1.0 - 0.45 * come.y));
  vec3 blown = wind(seat, luck, vec2(0.0, 1.0));
  vec3 noise = free + 0.16 * wind(free, luck, vec2(0.0, 1.0));
  vec3 loose = seat + blown * (0.13 * (1.0 - lift) + 0.035);
  vec3 settled = seat + blown * 0.006;
  vec3 middle = mix(noise, loose, come.x);
  position = mix(middle, settled, come.y);
  vec2 now = phased(progress);
  float grain = 0.06 + 0.94 * pow(delay, 6.0);
  weight = mix(grain, 1.0, now.x);

  // The words: home + wind * chaos + attraction * stability.
  if (focus > 0.0) {
    float chaos = 1.0 - stable;
    float storm = 0.62 - 0.10 * now.x - 0.06 * now.y;
    float pull = 0.25 + 0.45 * now.x + 0.30 * now.y;
    vec3 gust = wind(flat_, luck, character);
    gust.z = gust.z * 1.25 - 0.55;
    vec3 from = mix(flat_, free * 1.35, 0.42 * chaos * (1.0 - rise(0.12, 0.5, stable)));
    vec3 inside = from + gust * (storm * chaos * (1.0 - rise(0.25, 0.85, stable) * pull));
    inside.z += 0.55 * rise(0.10, 0.85, stable) * pull;
    position = mix(position, inside, focus);
    weight = mix(weight, 0.03 + 0.97 * rise(0.16, 0.72, stable), focus);
    colour *= 1.0 + focus * (0.25 + 0.85 * stable - 1.0);
  }
  if (painted) colour = texelFetch(palette, ivec2(int(floor(stable * 255.0 + 0.5)), 0), 0).rgb;
}
`;

// Discs seen by the camera; see `diffuscope.morph.render.splat`.
export const DISCS = /* glsl */ `${PLACE}
uniform mat3 axes;       // rows: right, up, towards the viewer
uniform vec3 target;
uniform float distance_, lens, grain, spacing;
uniform vec2 size;       // of the frame, pixels

out vec4 disc;           // linear colour, paint at the middle
out float reach;
out float sigma;

void main() {
  vec3 position, colour;
  float weight, stable;
  place(uint(gl_VertexID), position, colour, weight, stable);
  vec3 seen = axes * (position - target);
  float away = distance_ - seen.z;
  vec2 at = seen.xy * lens / max(away, 1e-3) * size.y;
  float spread = grain * 0.62 * spacing * lens * size.y / max(away, 0.1);
  float blur = 0.0042 * size.y * abs(away - (distance_ - 0.30)) / max(away, 0.5);
  sigma = max(sqrt(spread * spread + blur * blur), 0.45);
  float near = clamp(pow(distance_ / max(away, 0.1), 3.0), 0.0, 12.0);
  disc = vec4(colour, weight * near * spread * spread / (sigma * sigma));
  bool shown = away > 0.2 && disc.a > 1e-4;
  reach = 4.4 * sigma + 1.0;
  gl_PointSize = reach;
  gl_Position = shown ? vec4(at * 2.0 / size, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
}
`;

export const PAINT = /* glsl */ `
precision highp float;
in vec4 disc;
in float reach;
in float sigma;
out vec4 paint;
void main() {
  vec2 from = (gl_PointCoord - 0.5) * reach;
  float here = disc.a * exp(-0.5 * dot(from, from) / (sigma * sigma));
  paint = vec4(disc.rgb * here, here);
}
`;

// Particles as numbers: one pixel each, to be read back.
export const VALUES = /* glsl */ `${PLACE}
uniform ivec2 sheet;
uniform bool tinted;
out vec4 values;
void main() {
  vec3 position, colour;
  float weight, stable;
  place(uint(gl_VertexID), position, colour, weight, stable);
  values = tinted ? vec4(colour, weight) : vec4(position, stable);
  gl_PointSize = 1.0;
  gl_Position = vec4((vec2(gl_VertexID % sheet.x, gl_VertexID / sheet.x) + 0.5) / vec2(sheet) * 2.0 - 1.0, 0.0, 1.0);
}
`;

export const WRITE = /* glsl */ `
precision highp float;
in vec4 values;
out vec4 written;
void main() { written = values; }
`;

export const SCREEN = /* glsl */ `
out vec2 uv;
void main() {
  vec2 corner = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
  uv = corner;
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}
`;

const LIGHT = /* glsl */ `
precision highp float;
precision highp sampler2D;
in vec2 uv;
vec4 lightAt(sampler2D sums, vec2 at) {
  vec4 sum = texture(sums, at);
  float cover = 1.0 - exp(-1.15 * sum.a);
  return vec4(sum.rgb / max(sum.a, 1e-6) * cover, cover);
}
`;

// Bright parts at an eighth of the size, then blurred along either axis.
export const SHRINK = /* glsl */ `${LIGHT}
uniform sampler2D sums;
uniform vec2 texel;
out vec4 light;
void main() {
  light = vec4(0.0);
  for (int y = 0; y < 4; y++) for (int x = 0; x < 4; x++)
    light += lightAt(sums, uv + (vec2(x, y) - 1.5) * 2.0 * texel) / 16.0;
}
`;

export const BLUR = /* glsl */ `${LIGHT}
uniform sampler2D sums;
uniform vec2 along;
uniform float width;
out vec4 light;
void main() {
  int reach = int(ceil(3.0 * width));
  vec4 sum = vec4(0.0);
  float all = 0.0;
  for (int i = -reach; i <= reach; i++) {
    float part = exp(-0.5 * float(i * i) / (width * width));
    sum += part * texture(sums, uv + float(i) * along);
    all += part;
  }
  light = sum / all;
}
`;

// Onto the ground, in sRGB; see `diffuscope.morph.render.render`.
export const SHOW = /* glsl */ `${LIGHT}
uniform sampler2D sums;
uniform sampler2D glow;
uniform bool paper;
out vec4 shown;
void main() {
  vec4 light = lightAt(sums, uv);
  vec3 colour;
  if (paper) {
    colour = light.rgb + vec3(0.863, 0.847, 0.807) * (1.0 - light.a);
  } else {
    vec2 at = uv * 2.0 - 1.0;
    vec3 ground = vec3(0.0035, 0.0040, 0.0065) * (1.0 - 0.42 * dot(at, at));
    colour = light.rgb + 0.20 * texture(glow, uv).rgb + ground * (1.0 - light.a);
  }
  // What is too bright bends towards white and is not cut.
  vec3 held = mix(max(colour, 0.0), 0.8 + 0.2 * tanh((colour - 0.8) / 0.2), greaterThan(colour, vec3(0.8)));
  vec3 coded = mix(1.055 * pow(max(held, 1e-9), vec3(1.0 / 2.4)) - 0.055, held * 12.92, lessThanEqual(held, vec3(0.0031308)));
  shown = vec4(coded, 1.0);
}
`;
