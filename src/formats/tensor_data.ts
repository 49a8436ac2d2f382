// This module is browser compatible.

/**
 * Numbers of tensors as files hold them: data types, places, and the way to f32 and back.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { type FileReader, readChunks } from "./files.ts";

/** Where a file holds a tensor. */
export interface TensorInfo {
  dtype: string;
  shape: number[];
  /** First byte, counted from the start of the file. */
  begin: number;
  /** Byte after the last, counted from the start of the file. */
  end: number;
  /** Elements from one to the next, per dimension; absent where the last dimension is contiguous and so on. */
  strides?: number[];
}

/** Data types that this program writes. */
export type SavedDtype = "F32" | "F16" | "BF16";

// Bits of an element, by the names that safetensors gives data types.
// deno-fmt-ignore
export const BITS: ReadonlyMap<string, number> = new Map(Object.entries({
  F4: 4, F6_E2M3: 6, F6_E3M2: 6, BOOL: 8, U8: 8, I8: 8,
  F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8,
  I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, C64: 64, F64: 64, I64: 64, U64: 64,
}));

/** A shape as messages show it: `(49152, 576)`. */
export function formatShape(shape: readonly number[]): string {
  return `(${shape.join(", ")})`;
}

/** Data types that are read as weights. */
type ReadDtype = SavedDtype | "F64";

const READ_DTYPES: readonly string[] = ["F32", "F16", "BF16", "F64"] satisfies ReadDtype[];

/**
 * Reads a tensor and makes it f32.
 *
 * @throws {UserError} As {@link readFloat32Chunks}.
 */
export async function readFloat32(
  file: FileReader,
  name: string,
  info: TensorInfo,
): Promise<Float32Array<ArrayBuffer>> {
  const values = new Float32Array(countElements(info.shape));
  let filled = 0;
  for await (const chunk of readFloat32Chunks(file, name, info)) {
    values.set(chunk, filled);
    filled += chunk.length;
  }
  return values;
}

/**
 * Reads a tensor in row-major order and makes it f32, a few MiB at a time: a model need not fit into memory beside itself.
 *
 * @throws {UserError} If its dtype is not F32, F16, BF16 or F64, or if it holds a NaN or an infinity.
 */
export async function* readFloat32Chunks(
  file: FileReader,
  name: string,
  info: TensorInfo,
): AsyncGenerator<Float32Array<ArrayBuffer>> {
  const { dtype, shape, begin, end, strides } = info;
  if (!READ_DTYPES.includes(dtype)) {
    throw new UserError(
      `Cannot load "${name}" from ${file.name}: expected ${READ_DTYPES.join(", ")}, found ${dtype}`,
    );
  }
  let first = 0;
  const checked = (values: Float32Array<ArrayBuffer>) => {
    const bad = findNonFinite(values);
    if (bad >= 0) {
      throw new UserError(
        `Cannot load "${name}" from ${file.name}: expected finite weights, found ${
          values[bad]
        } at element ${first + bad}; the model is broken`,
      );
    }
    first += values.length;
    return values;
  };
  if (strides !== undefined) {
    const { buffer } = await file.read(begin, end - begin);
    yield checked(gather(widen(buffer, dtype as ReadDtype), shape, strides));
    return;
  }
  // Chunks are a multiple of every element's size.
  for await (const { buffer } of readChunks(file, begin, end)) {
    yield checked(widen(buffer, dtype as ReadDtype));
  }
}

/** @returns The index of the first NaN or infinity, or -1. */
export function findNonFinite(values: Float32Array): number {
  // On the bits and in a loop: a hundred times as fast as findIndex, and every weight of a model passes here.
  const EXPONENT = 0x7f800000;
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i] & EXPONENT) === EXPONENT) return i;
  }
  return -1;
}

/** Puts the elements of a view in row-major order. */
function gather(
  values: Float32Array,
  shape: readonly number[],
  strides: readonly number[],
): Float32Array<ArrayBuffer> {
  const result = new Float32Array(countElements(shape));
  const index = shape.map(() => 0);
  for (let i = 0, at = 0; i < result.length; i++) {
    result[i] = values[at];
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return result;
}

// Typed arrays have the byte order of the machine. WebGPU runs on little-endian machines only, as safetensors wants.

/** The numbers of `buffer` as f32. */
export function widen(buffer: ArrayBuffer, dtype: ReadDtype): Float32Array<ArrayBuffer> {
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return new Float32Array(new Float16Array(buffer));
    case "F64":
      return new Float32Array(new Float64Array(buffer));
    case "BF16": {
      // A loop, since `from` with a function is ten times slower.
      const halves = new Uint16Array(buffer);
      const bits = new Uint32Array(halves.length);
      for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
      return new Float32Array(bits.buffer);
    }
  }
}

/** Narrows f32 values to `dtype`, to nearest and ties to even, and returns the bytes. */
export function narrow(values: Float32Array, dtype: SavedDtype): Uint8Array<ArrayBuffer> {
  switch (dtype) {
    case "F32":
      return new Uint8Array(new Float32Array(values).buffer);
    case "F16":
      return new Uint8Array(new Float16Array(values).buffer);
    case "BF16": {
      const bits = new Uint32Array(new Float32Array(values).buffer);
      const halves = new Uint16Array(bits.length);
      for (let i = 0; i < bits.length; i++) {
        halves[i] = (bits[i] + 0x7fff + (bits[i] >>> 16 & 1)) >>> 16;
      }
      return new Uint8Array(halves.buffer);
    }
  }
}

/** The product of a shape. */
export function countElements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
