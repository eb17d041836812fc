// The page's film is Python's: the same numbers for the same moment. tests/morph_fixture.py writes them.

import { describe, expect, it } from "vitest";
import fixture from "../../../../tests/fixtures/morph_motion.json";
import { readFilm, writeFilm } from "./film";
import { moved, turned } from "./flight";
import { moment, path, planned } from "./motion";
import { Pace } from "./pace";
import { unit } from "./score";

describe("the film's flow", () => {
  it("is that of diffuscope.morph.motion", () => {
    for (const expected of fixture.moments) {
      const now = moment(expected.at, expected.words);
      for (const name of ["progress", "focus", "time"] as const) expect(now[name]).toBeCloseTo(expected[name], 5);
    }
  });
  it("has the camera of diffuscope.morph.camera", () => {
    for (const expected of fixture.cameras) {
      const camera = path(moment(expected.at, expected.words), expected.aspect, expected.frame);
      for (const name of ["yaw", "pitch", "distance"] as const) expect(camera[name]).toBeCloseTo(expected[name], 5);
      expect(camera.target).toEqual(expected.target);
    }
  });
  it("has the plan's phases", () => {
    for (const [steps, structure, detail] of fixture.plans) expect(planned(steps!)).toEqual([structure, detail]);
  });
  it("stays in the picture, or in the words, where that is wished for", () => {
    expect(moment(0.5, true, "picture").focus).toBe(0);
    expect(moment(0.1, true, "words").focus).toBe(1);
    expect(moment(0.5, false, "words").focus).toBe(0);
  });
});

describe("stability", () => {
  it("is min-max scaled over all steps together", () => {
    const out = new Float32Array(4);
    unit([new Float32Array([2, 4]), new Float32Array([3, 6])], out);
    expect([...out]).toEqual([0, 0.5, 0.25, 1]);
    unit([new Float32Array([5, 5]), new Float32Array([5, 5])], out);
    expect([...out]).toEqual([0, 0, 0, 0]);
  });
});

describe("the address of a film", () => {
  it("comes back as it was", () => {
    for (const text of ["", "word=heart&word=red+house&look=ember&flow=words&at=0.4200&camera=0.300,-0.100,3.800,0.000,0.100,0.200", "word=", "kiosk"]) expect(writeFilm(readFilm(text))).toBe(text);
  });
  it("takes nothing that cannot be", () => {
    expect(readFilm("look=neon&at=7&camera=1,x,2&flow=up")).toEqual(readFilm("at=1"));
    expect(readFilm("camera=0,9,900").camera).toEqual({ yaw: 0, pitch: 1.5, distance: 14, target: [0, 0, 0.1] });
    expect(readFilm("", "?kiosk").kiosk).toBe(true);
  });
});

describe("the camera that is flown", () => {
  const camera = { yaw: 0, pitch: 0, distance: 4, target: [0, 0, 0] as const };
  it("turns with the hand and moves in the plane it sees", () => {
    expect(turned(camera, 0.2, 0.1)).toMatchObject({ yaw: -0.2, pitch: 0.1 });
    expect(moved(camera, 0.5, 0.25).target).toEqual([-0.5, -0.25, 0]);
    const side = moved({ ...camera, yaw: Math.PI / 2 }, 0.5, 0).target;
    expect(side[0]).toBeCloseTo(0);
    expect(side[2]).toBeCloseTo(0.5);
  });
});

describe("the pace", () => {
  const feed = (pace: Pace, ms: number, frames: number) => { for (let i = 0; i < frames; i++) pace.took(ms); };
  it("begins with 65,536 particles and shows more where there is time", () => {
    const pace = new Pace();
    expect(pace.level.count).toBe(65_536);
    feed(pace, 16, 200);
    expect(pace.level.count).toBe(262_144);
  });
  it("shows fewer where there is none, and does not try again what was too much", () => {
    const pace = new Pace();
    feed(pace, 60, 24);
    const { resolution } = pace.level;
    expect(resolution).toBeLessThan(1);
    feed(pace, 10, 400);
    expect(pace.level.resolution).toBe(resolution);
    feed(pace, 90, 400);
    expect(pace.level).toEqual({ count: 16_384, resolution: 0.5 });
  });
});
