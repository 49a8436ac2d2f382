import assert from "node:assert/strict";
import type { FileReader } from "../../src/formats/files.ts";
import { findNonFinite, readFloat32, readFloat32Chunks } from "../../src/formats/tensor_data.ts";
import { MemoryDirectory } from "./memory_directory.ts";

const open = (bytes: Uint8Array<ArrayBuffer>) => new MemoryDirectory({ f: bytes }).open("f");

Deno.test("tensor data: a large tensor comes in pieces of a few MiB, each read once", async () => {
  const values = Uint16Array.from({ length: 5_000_001 }, (_, i) => i % 0x7f00);
  const file = await open(new Uint8Array(values.buffer));
  const reads: number[] = [];
  const watched: FileReader = {
    ...file,
    read(offset, length) {
      reads.push(length);
      return file.read(offset, length);
    },
  };
  const info = { dtype: "BF16", shape: [5_000_001], begin: 0, end: 10_000_002 };
  const pieces = await Array.fromAsync(readFloat32Chunks(watched, "w", info));
  assert.ok(reads.every((length) => length <= 4 << 20), `${reads}`);
  assert.equal(reads.reduce((sum, length) => sum + length, 0), 10_000_002);
  assert.ok(pieces.slice(0, -1).every(({ length }) => length % 2 === 0), "words are whole");
  let at = 0;
  for (const piece of pieces) {
    const bits = new Uint32Array(piece.buffer);
    for (let i = 0; i < bits.length; i++, at++) {
      if (bits[i] !== values[at] << 16) assert.fail(`element ${at}`);
    }
  }
  assert.equal(at, 5_000_001);
});

Deno.test("tensor data: a broken weight is named by its place in the tensor", async () => {
  const values = new Float32Array(1_500_000);
  values[1_200_000] = -Infinity;
  const file = await open(new Uint8Array(values.buffer));
  const info = { dtype: "F32", shape: [1_500_000], begin: 0, end: 6_000_000 };
  await assert.rejects(readFloat32(file, "w", info), /found -Infinity at element 1200000/);
});

Deno.test("tensor data: f64 becomes f32, and what exceeds it is refused", async () => {
  const read = async (...values: number[]) => {
    const bytes = new Uint8Array(Float64Array.from(values).buffer);
    const info = { dtype: "F64", shape: [values.length], begin: 0, end: bytes.length };
    return await readFloat32(await open(bytes), "w", info);
  };
  assert.deepEqual(await read(0.1, -1e-50, 2 ** 100), Float32Array.of(0.1, -0, 2 ** 100));
  await assert.rejects(read(1, 1e39), /found Infinity at element 1/);
});

Deno.test("tensor data: NaN and infinities are found, the largest and smallest numbers are none", () => {
  const finite = Float32Array.of(3.4028234663852886e38, -1e-45, -0, 1);
  assert.equal(findNonFinite(finite), -1);
  for (const bad of [NaN, Infinity, -Infinity]) {
    assert.equal(findNonFinite(finite.with(2, bad)), 2);
    assert.equal(findNonFinite(finite.with(2, bad).subarray(1)), 1);
  }
});
