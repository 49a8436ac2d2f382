// This module is browser compatible.

/**
 * Reading and writing the safetensors format. The rules are those of its README and of the reference implementation
 * (https://github.com/huggingface/safetensors); where the two differ the stricter one holds, except that spaces
 * around the header are accepted as the implementation does.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { FileReader } from "./files.ts";
import { describe, isObject, refuseDuplicateKeys } from "./json.ts";
import {
  BITS,
  countElements,
  findNonFinite,
  formatShape,
  narrow,
  type SavedDtype,
  type TensorInfo,
  widen,
} from "./tensor_data.ts";

/** A tensor to write. `data` may be a function, so that only one tensor needs to be in memory at a time. */
export interface NamedTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array | (() => Promise<Float32Array>);
}

const MAX_HEADER_BYTES = 100_000_000;

/**
 * Reads the header of a safetensors file and checks that it describes the file to the last byte, so that no later
 * allocation or read trusts a number that the file merely claims.
 *
 * @throws {UserError} If the file breaks a rule of the format, or has a name twice, or one with a NUL.
 */
export async function readSafetensorsHeader(file: FileReader): Promise<Map<string, TensorInfo>> {
  const fail = (expected: string, found: string) =>
    new UserError(
      `Cannot read ${file.name} as safetensors: expected ${expected}, found ${found}; the file is damaged or incomplete`,
    );
  if (file.size < 8) throw fail("at least 8 bytes", `${file.size}`);
  const declared = new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true);
  if (declared > MAX_HEADER_BYTES) throw fail(`a header of at most 100 MB`, `${declared} bytes`);
  const dataBegin = 8 + Number(declared);
  if (dataBegin > file.size) {
    throw fail(`a header of ${declared} bytes`, `a file of ${file.size} bytes`);
  }

  const header = parseHeader(await file.read(8, dataBegin - 8), fail);
  refuseDuplicateKeys(header.text, file.name);
  const tensors = header.entries.map(([name, entry]) => ({
    name,
    ...checkEntry(name, entry, dataBegin, fail),
  }));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let previousEnd = dataBegin;
  for (const { name, begin, end } of tensors) {
    if (begin !== previousEnd) {
      throw fail(`${describe(name)} to begin at byte ${previousEnd}`, `${begin}`);
    }
    previousEnd = end;
  }
  if (previousEnd !== file.size) {
    throw fail(`${previousEnd} bytes as the header says`, `${file.size}`);
  }
  const found = new Map(tensors.map(({ name, ...info }) => [name, info]));
  // `save_model` of safetensors stores shared tensors once, and says so: "other name": "stored name".
  for (const [alias, name] of Object.entries(header.metadata)) {
    const stored = found.get(name);
    if (stored !== undefined && !found.has(alias)) found.set(alias, stored);
  }
  return found;
}

type Fail = (expected: string, found: string) => UserError;

function parseHeader(
  bytes: Uint8Array,
  fail: Fail,
): { text: string; entries: [string, unknown][]; metadata: Record<string, string> } {
  let text: string, json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    json = JSON.parse(text, integersOnly);
  } catch (error) {
    throw fail("a header in JSON", (error as Error).message);
  }
  if (!isObject(json)) throw fail("a header that is a JSON object", describe(json));
  const { __metadata__: metadata = {}, ...rest } = json;
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== "string")) {
    throw fail('"__metadata__" to map names to strings', JSON.stringify(metadata).slice(0, 80));
  }
  return { text, entries: Object.entries(rest), metadata: metadata as Record<string, string> };
}

/** A reviver for `JSON.parse` under which only plain unsigned integers stay numbers: not `0.0`, `-0` or `1e3`. */
function integersOnly(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === "number" && !/^\d+$/.test(context?.source ?? "") ? NaN : value;
}

function checkEntry(name: string, entry: unknown, dataBegin: number, fail: Fail): TensorInfo {
  const quoted = describe(name);
  if (name.includes("\0")) throw fail("names without NUL", quoted);
  if (!isObject(entry)) throw fail(`${quoted} to be an object`, describe(entry));
  const { dtype, shape, data_offsets: offsets } = entry;
  const bits = BITS.get(dtype as string);
  if (bits === undefined) throw fail(`a known dtype of ${quoted}`, describe(dtype));
  if (!isCountList(shape)) throw fail(`the shape of ${quoted} in whole numbers`, show(shape));
  if (!isCountList(offsets) || offsets.length !== 2) {
    throw fail(`data_offsets of ${quoted} as two whole numbers`, show(offsets));
  }

  const sizeBytes = shape.reduce((product, size) => product * size, bits) / 8;
  if (!Number.isSafeInteger(sizeBytes)) {
    throw fail(`${quoted} to fill whole bytes below 2^53`, `shape ${formatShape(shape)}`);
  }
  const [begin, end] = offsets.map((offset) => dataBegin + offset);
  if (end - begin !== sizeBytes) {
    throw fail(
      `${sizeBytes} bytes for ${quoted} (${dtype} ${formatShape(shape)})`,
      `${end - begin}`,
    );
  }
  return { dtype: dtype as string, shape, begin, end };
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item));
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80);
}

/**
 * The bytes of a safetensors file. Tensors stand in the order of their names and the header is padded to 8 bytes, so
 * that equal tensors give equal files and every tensor is aligned.
 *
 * @throws {RangeError} While iterating, if a tensor's data does not fit its shape or is not finite.
 * @throws {UserError} While iterating, if a tensor's data exceeds the range of `dtype`.
 */
export async function* serializeSafetensors(
  tensors: readonly NamedTensor[],
  dtype: SavedDtype = "F32",
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const sorted = tensors.toSorted((a, b) => a.name < b.name ? -1 : 1);
  yield encodeHeader(sorted, dtype);
  for (const { name, shape, data } of sorted) {
    const values = typeof data === "function" ? await data() : data;
    const expected = countElements(shape);
    if (values.length !== expected) {
      throw new RangeError(
        `Cannot save "${name}": expected ${expected} values, found ${values.length}`,
      );
    }
    const bytes = narrow(values, dtype);
    refuseNonFinite(name, values, widen(bytes.buffer, dtype), dtype);
    yield bytes;
  }
}

/** Both are looked at: rounding to BF16 carries some NaNs over into zero, and a finite f32 may exceed F16. */
function refuseNonFinite(
  name: string,
  values: Float32Array,
  saved: Float32Array,
  dtype: SavedDtype,
): void {
  const bad = findNonFinite(values);
  if (bad >= 0) {
    throw new RangeError(
      `Cannot save "${name}": expected finite values, found ${values[bad]} at element ${bad}`,
    );
  }
  const tooLarge = findNonFinite(saved);
  if (tooLarge >= 0) {
    throw new UserError(
      `Cannot save "${name}" as ${dtype}: expected values in its range, found ${
        values[tooLarge]
      } at element ${tooLarge}; use another --save-dtype`,
    );
  }
}

function encodeHeader(sorted: readonly NamedTensor[], dtype: SavedDtype): Uint8Array<ArrayBuffer> {
  let end = 0;
  const entries = sorted.map(({ name, shape }, i) => {
    if (name === sorted[i - 1]?.name) {
      throw new RangeError(`Cannot save "${name}": it is given twice`);
    }
    const begin = end;
    end += countElements(shape) * BITS.get(dtype)! / 8;
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  const header = { __metadata__: { format: "pt" }, ...Object.fromEntries(entries) };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(text, 8);
  return bytes;
}
