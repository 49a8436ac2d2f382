/** Weights, orders and digests of every run depend on these numbers. */
import assert from "node:assert/strict";
import { mix, mulberry32 } from "../src/random.ts";

Deno.test("mulberry32 gives the numbers that it always gave", () => {
  const first = (seed: number) => {
    const next = mulberry32(seed);
    return [next(), next(), next()];
  };
  assert.deepEqual(first(0), [1144304738, 1416247, 958946056]);
  assert.deepEqual(first(42), [2581720956, 1925393290, 3661312704]);
  assert.deepEqual(first(-1), first(2 ** 32 - 1));
});

Deno.test("mix is the end of MurmurHash3's finalizer", () => {
  const finalizer = (bits: number) => mix(bits ^ (bits >>> 16));
  assert.deepEqual([0, 1, 0x12345678].map(finalizer), [0, 0x514e28b7, 0xe37cd1bc]);
});
