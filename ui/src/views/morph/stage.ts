// Paints a film into a canvas with three.js. What is shown depends on what `draw` is told alone.

import * as three from "three";
import { table, type ColourName } from "../../maps/colours";
import { path, VIEW, type Camera, type Moment } from "./motion";
import type { Score } from "./score";
import { BLUR, DISCS, PAINT, SCREEN, SHOW, SHRINK, VALUES, WRITE } from "./shaders";

const ROW = 2048;

export interface Look {
  palette: ColourName | "picture";
  paper: boolean;
  grain: number; // radius of the particles; 1 closes the gaps of a picture at rest
}

export interface Points {
  count: number;
  values: Float32Array; // [particle, (x, y, z, stability)]
  colours: Float32Array; // [particle, (red, green, blue, weight)], linear light
}

type Uniforms = Record<string, three.IUniform>;

export class Stage {
  private readonly renderer: three.WebGLRenderer;
  private readonly eye = new three.Camera();
  private readonly particles: Uniforms = {
    attention: { value: null }, colours: { value: null }, palette: { value: null }, painted: { value: false },
    shape: { value: [1, 1, 2] }, words: { value: 0 }, seed: { value: 0 }, progress: { value: 0 }, focus: { value: 0 }, time: { value: 0 },
    aspect: { value: 1 }, phases: { value: new three.Vector2() },
    axes: { value: new three.Matrix3() }, target: { value: new three.Vector3() }, distance_: { value: 4 }, lens: { value: 0.5 / Math.tan(VIEW / 2) },
    grain: { value: 1 }, spacing: { value: 0.01 }, size: { value: new three.Vector2(1, 1) },
    sheet: { value: [1, 1] }, tinted: { value: false },
  };
  private readonly screen: Uniforms = {
    sums: { value: null }, glow: { value: null }, texel: { value: new three.Vector2() }, along: { value: new three.Vector2() }, width: { value: 1 }, paper: { value: false },
  };
  private readonly cloud = new three.BufferGeometry();
  private readonly discs: three.Points;
  private readonly triangle: three.Mesh;
  private readonly passes: { shrink: three.RawShaderMaterial; blur: three.RawShaderMaterial; show: three.RawShaderMaterial };
  private readonly sums = target(three.HalfFloatType);
  private readonly glow = [target(three.HalfFloatType, three.LinearFilter), target(three.HalfFloatType, three.LinearFilter)] as const;
  private readonly textures: three.Texture[] = [];
  private readonly palettes = new Map<ColourName, three.Texture>();
  private score: Score | null = null;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.renderer = new three.WebGLRenderer({ canvas, antialias: false, alpha: false, depth: false, powerPreference: "high-performance", preserveDrawingBuffer: true });
    this.renderer.autoClear = false;
    this.discs = new three.Points(this.cloud, material(DISCS, PAINT, this.particles, true));
    const whole = new three.BufferGeometry();
    whole.setDrawRange(0, 3);
    this.passes = { shrink: material(SCREEN, SHRINK, this.screen), blur: material(SCREEN, BLUR, this.screen), show: material(SCREEN, SHOW, this.screen) };
    this.triangle = new three.Mesh(whole, this.passes.show);
    this.discs.frustumCulled = this.triangle.frustumCulled = false;
  }

  // Bytes of textures that a film holds on the graphics card.
  get textureBytes(): number {
    const { score } = this;
    return score ? Math.ceil(score.attention.length / ROW) * ROW * 4 + score.colours.bytes.length : 0;
  }

  // Textures are given to the graphics card once a film.
  play(score: Score): void {
    for (const old of this.textures.splice(0)) old.dispose();
    const rows = Math.ceil(score.attention.length / ROW);
    const flat = new Float32Array(rows * ROW);
    flat.set(score.attention);
    const attention = new three.DataTexture(flat, ROW, rows, three.RedFormat, three.FloatType);
    const { bytes, width, height } = score.colours;
    const colours = new three.DataArrayTexture(bytes, width, height, score.steps.length);
    colours.colorSpace = three.SRGBColorSpace;
    colours.minFilter = colours.magFilter = three.LinearFilter;
    for (const each of [attention, colours]) {
      each.needsUpdate = true;
      this.textures.push(each);
    }
    const { particles } = this;
    particles.attention!.value = attention;
    particles.colours!.value = colours;
    particles.shape!.value = [score.width, score.height, score.steps.length];
    particles.words!.value = score.words.length;
    particles.aspect!.value = score.aspect;
    (particles.phases!.value as three.Vector2).set(...score.phases);
    this.score = score;
  }

  resize(width: number, height: number): void {
    this.renderer.setPixelRatio(1);
    this.renderer.setSize(width, height, false);
    this.sums.setSize(width, height);
    for (const each of this.glow) each.setSize(Math.max(2, width >> 3), Math.max(2, height >> 3));
  }

  get frame(): number {
    return this.canvas.width / this.canvas.height;
  }

  // The camera of the film's path, as it is at a moment.
  pathAt(now: Moment): Camera {
    return path(now, this.score?.aspect ?? 1, this.frame);
  }

  draw(now: Moment, camera: Camera, look: Look, count: number): void {
    if (!this.score) return;
    const { particles, screen, renderer, passes } = this;
    this.set(now, look);
    const { width, height } = this.canvas;
    const [cy, sy, cp, sp] = [Math.cos(camera.yaw), Math.sin(camera.yaw), Math.cos(camera.pitch), Math.sin(camera.pitch)];
    (particles.axes!.value as three.Matrix3).set(cy, 0, -sy, -sy * sp, cp, -cy * sp, sy * cp, sp, cy * cp);
    (particles.target!.value as three.Vector3).set(...camera.target);
    particles.distance_!.value = camera.distance;
    particles.grain!.value = look.grain;
    particles.spacing!.value = Math.sqrt(4 / count);
    (particles.size!.value as three.Vector2).set(width, height);
    this.cloud.setDrawRange(0, count);

    renderer.setRenderTarget(this.sums);
    renderer.setClearColor(0x000000, 0);
    renderer.clear();
    renderer.render(this.discs, this.eye);

    const small = this.glow[0];
    const over = (from: three.WebGLRenderTarget, onto: three.WebGLRenderTarget | null, pass: three.RawShaderMaterial) => {
      screen.sums!.value = from.texture;
      this.triangle.material = pass;
      renderer.setRenderTarget(onto);
      renderer.render(this.triangle, this.eye);
    };
    if (!look.paper) {
      (screen.texel!.value as three.Vector2).set(1 / width, 1 / height);
      screen.glow!.value = null;
      over(this.sums, small, passes.shrink);
      // As wide as three boxes of `diffuscope.morph.render._glow` after one another.
      const reach = Math.max(1, Math.floor(small.height / 26));
      screen.width!.value = Math.sqrt(((2 * reach + 1) ** 2 - 1) / 4);
      (screen.along!.value as three.Vector2).set(1 / small.width, 0);
      over(small, this.glow[1], passes.blur);
      (screen.along!.value as three.Vector2).set(0, 1 / small.height);
      over(this.glow[1], small, passes.blur);
    }
    screen.glow!.value = small.texture;
    screen.paper!.value = look.paper;
    over(this.sums, null, passes.show);
  }

  // The particles of a moment as numbers, computed by what paints them.
  points(now: Moment, look: Look, count: number): Points {
    const width = Math.min(count, ROW);
    const height = Math.ceil(count / width);
    const sheet = target(three.FloatType);
    sheet.setSize(width, height);
    this.set(now, look);
    this.particles.sheet!.value = [width, height];
    const pass = material(VALUES, WRITE, this.particles);
    const cloud = new three.Points(this.cloud, pass);
    cloud.frustumCulled = false;
    this.cloud.setDrawRange(0, count);
    const read = (tinted: boolean): Float32Array => {
      this.particles.tinted!.value = tinted;
      this.renderer.setRenderTarget(sheet);
      this.renderer.render(cloud, this.eye);
      const out = new Float32Array(width * height * 4);
      this.renderer.readRenderTargetPixels(sheet, 0, 0, width, height, out);
      return out.subarray(0, count * 4);
    };
    const found = { count, values: read(false), colours: read(true) };
    this.renderer.setRenderTarget(null);
    pass.dispose();
    sheet.dispose();
    return found;
  }

  dispose(): void {
    for (const each of [...this.textures, ...this.palettes.values(), this.sums, ...this.glow]) each.dispose();
    for (const each of Object.values(this.passes)) each.dispose();
    (this.discs.material as three.Material).dispose();
    this.renderer.dispose();
  }

  private set(now: Moment, look: Look): void {
    const { particles } = this;
    particles.progress!.value = now.progress;
    particles.focus!.value = now.focus;
    particles.time!.value = now.time;
    particles.painted!.value = look.palette !== "picture";
    particles.palette!.value = this.palette(look.palette === "picture" ? "gray" : look.palette);
  }

  private palette(name: ColourName): three.Texture {
    let known = this.palettes.get(name);
    if (!known) {
      const bytes = new Uint8Array(256 * 4).fill(255);
      const rows = table(name);
      for (let i = 0; i < 256; i++) bytes.set(rows.subarray(i * 3, i * 3 + 3), i * 4);
      known = new three.DataTexture(bytes, 256, 1);
      known.colorSpace = three.SRGBColorSpace;
      known.needsUpdate = true;
      this.palettes.set(name, known);
    }
    return known;
  }
}

function target(type: three.TextureDataType, filter: three.MagnificationTextureFilter & three.MinificationTextureFilter = three.NearestFilter): three.WebGLRenderTarget {
  return new three.WebGLRenderTarget(1, 1, { type, format: three.RGBAFormat, minFilter: filter, magFilter: filter, depthBuffer: false, generateMipmaps: false });
}

function material(vertexShader: string, fragmentShader: string, uniforms: Uniforms, adds = false): three.RawShaderMaterial {
  return new three.RawShaderMaterial({
    glslVersion: three.GLSL3,
    vertexShader,
    fragmentShader,
    uniforms,
    depthTest: false,
    depthWrite: false,
    ...(adds
      ? { blending: three.CustomBlending, blendEquation: three.AddEquation, blendSrc: three.OneFactor, blendDst: three.OneFactor, transparent: true }
      : { blending: three.NoBlending }),
  });
}
