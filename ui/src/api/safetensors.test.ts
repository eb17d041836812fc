import { expect, it } from "vitest";
import { fromFloat16, readSafetensors } from "./safetensors";

function file(header: object, data: Uint8Array): ArrayBuffer {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(data, 8 + text.length);
  return out.buffer;
}

it("reads values, shapes and metadata, at any alignment", () => {
  const values = new Float32Array([1.5, -2, 1e-8, 4]);
  const header = { __metadata__: { unit: "p" }, a: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] }, b: { dtype: "F16", shape: [2], data_offsets: [16, 20] } };
  const half = new Uint16Array([0x3c00, 0x0001]);
  const found = readSafetensors(file(header, new Uint8Array([...new Uint8Array(values.buffer), ...new Uint8Array(half.buffer)])));
  expect(found.metadata.unit).toBe("p");
  expect([...found.tensors.a!.values]).toEqual([...values]);
  expect([...found.tensors.b!.values]).toEqual([1, 2 ** -24]);
});

it("refuses what is no such file", () => {
  expect(() => readSafetensors(new ArrayBuffer(4))).toThrow();
  expect(() => readSafetensors(file({ a: { dtype: "F8", shape: [1], data_offsets: [0, 1] } }, new Uint8Array(1)))).toThrow(/F8/);
  const long = new Uint8Array(16);
  new DataView(long.buffer).setBigUint64(0, 10n ** 12n, true);
  expect(() => readSafetensors(long.buffer)).toThrow();
});

it("knows signs, subnormals and infinities of float16", () => {
  expect([...fromFloat16(new Uint16Array([0x8000, 0xc000, 0x7bff, 0x7c00, 0x03ff]))]).toEqual([-0, -2, 65504, Infinity, 1023 * 2 ** -24]);
});
