import { describe, expect, it } from "vitest";
import { level, table } from "./colours";
import { patchAt, valueAt } from "./heat2d";
import { maskOf, outline } from "./masks";
import { bytes, measure, number, percent, place } from "./measure";
import { boxRegion, coverage, diffused, lassoRegion, regionMap, shapeOf } from "./regions";
import { extent, meanOver, seriesOf, sumOf, type Series } from "./series";

const series = (maps: number[][], steps: number[]): Series => ({
  label: "x", unit: "p", aggregation: "", exact: true, width: 2, height: 2, steps, maps: maps.map((map) => Float32Array.from(map)), mass: Float32Array.from(maps, (map) => map.reduce((a, b) => a + b) / 4),
});

describe("series", () => {
  it("mean over some steps counts each alike", () => {
    const all = series([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 3, 0]], [0, 1, 5]);
    expect([...meanOver(all, [0, 5])!.values]).toEqual([0.5, 0, 1.5, 0]);
    expect(meanOver(all, [2])).toBeNull();
  });
  it("a phrase is the sum of its words", () => {
    const sum = sumOf([series([[1, 2, 3, 4]], [0]), series([[1, 1, 1, 1]], [0])]);
    expect([...sum.maps[0]!]).toEqual([2, 3, 4, 5]);
    expect(sum.mass[0]).toBe(3.5);
  });
  it("stored values are multiplied by their scale", () => {
    const tensor = { dtype: "F16", shape: [1, 1, 2], values: Float32Array.from([2, 4]) };
    const found = seriesOf({ metadata: { scale: "0.5", steps: "[7]" }, tensors: { maps: tensor } }, { label: "", steps: [] });
    expect([...found.maps[0]!]).toEqual([1, 2]);
    expect(found.steps).toEqual([7]);
    expect(found.exact).toBe(false);
  });
});

describe("measures", () => {
  it("peak, centroid and mean", () => {
    const found = measure({ values: Float32Array.from([0, 0, 0, 2]), width: 2, height: 2 });
    expect(found).toEqual({ mean: 0.5, peak: { x: 1, y: 1, value: 2 }, centroid: { x: 0.75, y: 0.75 } });
    expect(measure({ values: new Float32Array(4), width: 2, height: 2 }).centroid).toBeNull();
  });
  it("are written short", () => {
    expect([number(0), number(0.012345), number(1.2e-7), number(NaN), percent(0.0456), bytes(34_000_000)]).toEqual(["0", "0.0123", "1.20e-7", "–", "4.6%", "34 MB"]);
    expect(place(0.1, 0.9)).toBe("lower left");
  });
});

describe("colours", () => {
  it("run from the first to the last of the table", () => {
    expect(table("magma")).toHaveLength(768);
    expect([level(-1, [0, 2]), level(1, [0, 2]), level(9, [0, 2]), level(1, [1, 1])]).toEqual([0, 0.5, 1, 0]);
    expect(extent([Float32Array.from([3, 1]), Float32Array.from([2])])).toEqual([1, 3]);
  });
  it("smoothing goes through patch centres", () => {
    const heat = { values: Float32Array.from([0, 4, 8, 12]), width: 2, height: 2 };
    expect(valueAt(heat, { x: 0.25, y: 0.25 })).toBe(0);
    expect(valueAt(heat, { x: 0.5, y: 0.5 })).toBe(6);
    expect(patchAt(heat, { x: 0.99, y: 0.1 })).toBe(4);
  });
});

describe("regions", () => {
  const picture = { width: 8, height: 8 };
  it("text forms go there and back", () => {
    expect(boxRegion({ x: 5.7, y: 3.2 }, { x: 1.1, y: 6.9 })).toBe("box:1,3,5,6");
    expect(shapeOf("box:1,3,5,6")).toEqual({ kind: "box", points: [{ x: 1, y: 3 }, { x: 5, y: 6 }] });
    expect(lassoRegion([{ x: 1, y: 1 }, { x: 1, y: 1 }, { x: 2, y: 1 }])).toBeNull();
    expect(shapeOf("mask:abc")).toBeNull();
  });
  it("cover cells by area", () => {
    expect([...coverage(shapeOf("pixel:3,5")!, [2, 2], picture)]).toEqual([0, 0, 1, 0]);
    expect([...coverage(shapeOf("box:2,0,5,7")!, [2, 2], picture)]).toEqual([8, 8, 8, 8]);
    const half = coverage(shapeOf("contour:0,0;8,0;0,8")!, [2, 2], picture);
    expect(half[0]).toBeCloseTo(16);
    expect(half[1]).toBeCloseTo(8); // the edge goes through the cell from corner to corner
    expect(half[3]).toBe(0);
    // A hollow shape that leaves a cell and comes back: 8 x 8 less a notch of 4 x 6 from above.
    const hollow = [...coverage(shapeOf("contour:0,0;2,0;2,6;6,6;6,0;8,0;8,8;0,8")!, [4, 4], picture)];
    expect(hollow).toEqual([4, 0, 0, 4, 4, 0, 0, 4, 4, 0, 0, 4, 4, 4, 4, 4]);
    const turned = coverage(shapeOf("contour:0,8;8,8;8,0;6,0;6,6;2,6;2,0;0,0")!, [3, 5], picture);
    expect(turned.reduce((a, b) => a + b)).toBeCloseTo(40);
  });
  it("are means of their cells' maps", () => {
    const cells = [[1, 0], [0, 1]].map((map) => Float32Array.from(map));
    expect([...regionMap(cells, Float64Array.from([3, 1]), 2).values]).toEqual([0.75, 0.25]);
    const spread = diffused(cells, regionMap(cells, Float64Array.from([3, 1]), 2));
    expect([...spread.values]).toEqual([1, 0]);
  });
});

it("masks are read down the columns, and outlined along their pixels", () => {
  const mask = maskOf({ size: [2, 3], counts: [2, 1, 1, 2] });
  expect([...mask]).toEqual([0, 1, 1, 0, 0, 1]);
  expect(outline(mask, 3, 2).match(/M/g)).toHaveLength(6);
  expect(outline(new Uint8Array([1]), 1, 1)).toBe("M0 0H1M0 1H1M0 0V1M1 0V1");
});
