import assert from "node:assert/strict";
import { attentionDecode, kvCacheRead, kvCacheWrite } from "../../src/kernels/attention_decode.ts";
import { type Heads, rowElements } from "../../src/kernels/heads.ts";
import { attentionForward } from "../reference/attention.ts";
import {
  assertClose,
  EPSILON,
  forEachVariant,
  operandTypes,
  output,
  read,
  run,
  upload,
  values,
} from "./harness.ts";

// Keys per sequence: one, below, at and just over the 64 threads of a workgroup (256 on a GPU), primes between.
const cases: { lengths: number[]; heads: Heads }[] = [
  { lengths: [1], heads: { numHeads: 1, numKvHeads: 1, headSize: 8 } },
  { lengths: [13, 64, 65], heads: { numHeads: 3, numKvHeads: 1, headSize: 24 } },
  { lengths: [1, 131, 128, 2], heads: { numHeads: 9, numKvHeads: 3, headSize: 64 } },
  { lengths: [257, 5], heads: { numHeads: 2, numKvHeads: 2, headSize: 128 } },
];

/** The prompts of `lengths` tokens, cached in reverse order and apart; decoding their last row. */
async function decodeLast(
  qkv: Float32Array,
  lengths: number[],
  heads: Heads,
  operand: "f32" | "f16",
  element: "f32" | "f16",
): Promise<Float32Array> {
  const width = rowElements(heads);
  const N = qkv.length / width;
  const firstRows: number[] = [];
  const cacheRows: number[] = [];
  const lastRows: number[] = [];
  let end = 2 * N;
  for (const length of lengths) {
    end -= length + 1;
    firstRows.push(end);
    for (let i = 0; i < length; i++) cacheRows.push(end + i);
    lastRows.push(cacheRows.length - 1);
  }
  const B = lengths.length;
  const last = Float32Array.from(
    { length: B * width },
    (_, i) => qkv[lastRows[Math.floor(i / width)] * width + i % width],
  );
  const cache = output([2 * N, 2 * heads.numKvHeads * heads.headSize], element);
  const out = output([B, heads.numHeads * heads.headSize], operand);
  const lengthPairs = Uint32Array.from(lengths.flatMap((length, b) => [firstRows[b], length]));
  run((commands) => {
    const rows = upload(Uint32Array.from(cacheRows), [N]);
    kvCacheWrite(commands, cache, upload(qkv, [N, width], operand), rows);
    const row = upload(last, [B, width], operand);
    attentionDecode(commands, out, row, cache, upload(lengthPairs, [B, 2]), heads);
  });
  await read(cache);
  return await read(out);
}

for (const operand of operandTypes) {
  for (const element of operandTypes) {
    Deno.test(`attention_decode equals the reference, ${operand} with a cache in ${element}`, () =>
      forEachVariant("attentionDecode", async () => {
        for (const { lengths, heads } of cases) {
          const N = lengths.reduce((sum, length) => sum + length, 0);
          // Numbers that both types hold, so that the reference sees what the cache has.
          const narrow = operandTypes.at(-1)!;
          const qkv = values(1, N * rowElements(heads), narrow, 2);
          const found = await decodeLast(qkv, lengths, heads, operand, element);
          const expected: number[] = [];
          let start = 0;
          for (const length of lengths) {
            const width = rowElements(heads);
            const tokens = qkv.subarray(start * width, (start + length) * width);
            const seen = Array.from({ length }, (_, row) => [...Array(row + 1).keys()]);
            const { out } = attentionForward(tokens, heads, seen);
            expected.push(...out.subarray((length - 1) * heads.numHeads * heads.headSize));
            start += length;
          }
          // As attention_forward's: the error of scores up to 4 HS^1/2 is the relative error of every weight.
          const absolute = 16 * Math.sqrt(heads.headSize) * EPSILON.f32;
          assertClose(found, expected, {
            absolute: absolute + (operand === "f16" ? EPSILON.f16 : 0),
            name: `lengths ${lengths} of ${JSON.stringify(heads)}`,
          });
        }
      }));
  }
}

Deno.test("a sequence decodes to the same bits whatever is decoded beside it", () =>
  forEachVariant("attentionDecode", async () => {
    const heads = { numHeads: 3, numKvHeads: 1, headSize: 64 };
    const width = rowElements(heads);
    const outWidth = heads.numHeads * heads.headSize;
    const mine = values(2, 150 * width);
    const others = values(3, 71 * width);
    const alone = await decodeLast(mine, [150], heads, "f32", "f32");
    const joined = Float32Array.of(...others, ...mine);
    const beside = await decodeLast(joined, [71, 150], heads, "f32", "f32");
    assert.deepEqual(beside.subarray(outWidth), alone);
  }));

Deno.test("kv_cache_write refuses a cache as wide as qkv", () => {
  const qkv = upload(values(1, 24), [1, 24]);
  assert.throws(
    () =>
      run((commands) =>
        kvCacheWrite(commands, output([1, 24]), qkv, upload(Uint32Array.of(0), [1]))
      ),
    { name: "RangeError", message: /expected a cache narrower than qkv \(24\), found 24/ },
  );
});

for (const operand of operandTypes) {
  Deno.test(`kv_cache_read brings back what kv_cache_write put there, ${operand}`, async () => {
    for (const { lengths: [length], heads } of cases) {
      const width = rowElements(heads);
      const queries = heads.numHeads * heads.headSize;
      const qkv = values(4, length * width, operand);
      const first = 3;
      const cache = output([2 * length, width - queries], operand);
      const back = output([first + length, width], operand);
      const rows = upload(Uint32Array.from({ length }, (_, n) => 2 * (length - n) - 1), [length]);
      run((commands) => {
        kvCacheWrite(commands, cache, upload(qkv, [length, width], operand), rows);
        kvCacheRead(commands, back, cache, rows, first);
      });
      const expected = Float32Array.from(
        { length: (first + length) * width },
        (_, i) => i % width < queries || i < first * width ? NaN : qkv[i - first * width],
      );
      assert.deepEqual(await read(back), expected);
    }
  });
}

Deno.test("kv_cache_read refuses rows that qkv does not have", () => {
  const rows = upload(Uint32Array.of(0, 1), [2]);
  assert.throws(
    () => run((commands) => kvCacheRead(commands, output([3, 24]), output([4, 16]), rows, 2)),
    /^RangeError: kv_cache_read: expected .* 2 rows from 2 in it/,
  );
});
