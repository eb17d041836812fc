// Reads safetensors: eight bytes of header length, a JSON header, then the tensors. Little endian, C order.

export interface Tensor {
  dtype: string;
  shape: number[];
  values: Float32Array;
  bytes?: Uint8Array; // of U8, as they are
}

export interface TensorFile {
  metadata: Record<string, string>;
  tensors: Record<string, Tensor>;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

const LARGEST_HEADER = 4 * 2 ** 20;

export function readSafetensors(buffer: ArrayBuffer): TensorFile {
  const view = new DataView(buffer);
  const length = buffer.byteLength >= 8 ? Number(view.getBigUint64(0, true)) : -1;
  if (length < 0 || length > LARGEST_HEADER || 8 + length > buffer.byteLength) throw new Error("not a safetensors file");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length))) as Record<string, unknown>;
  const metadata = (header.__metadata__ ?? {}) as Record<string, string>;
  const tensors: Record<string, Tensor> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: [start, stop] } = entry as Entry;
    if (dtype === "U8") tensors[name] = bytesOf(shape, new Uint8Array(buffer, 8 + length + start, stop - start));
    else tensors[name] = { dtype, shape, values: decode(buffer.slice(8 + length + start, 8 + length + stop), dtype) };
  }
  return { metadata, tensors };
}

function decode(bytes: ArrayBuffer, dtype: string): Float32Array {
  if (dtype === "F32") return new Float32Array(bytes);
  if (dtype === "F64") return Float32Array.from(new Float64Array(bytes));
  if (dtype === "F16") return fromFloat16(new Uint16Array(bytes));
  if (dtype === "I64") return Float32Array.from(new BigInt64Array(bytes), Number);
  throw new Error(`tensors of type ${dtype} are not read here`);
}

// Bytes are mostly wanted as they are: as numbers they take four times the room, and are made only where they are asked for.
function bytesOf(shape: number[], bytes: Uint8Array): Tensor {
  let made: Float32Array | null = null;
  return { dtype: "U8", shape, bytes, get values() { return (made ??= new Float32Array(bytes)); } };
}

// IEEE 754 binary16, by a table of all 65,536 values made once: not every browser has Float16Array yet.
let table: Float32Array | null = null;

export function fromFloat16(bits: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, i) => float16(i));
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!]!;
  return out;
}

function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
