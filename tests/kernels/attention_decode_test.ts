import assert from "node:assert/strict";
import { attentionDecode, kvCacheRead, kvCacheWrite } from "../../src/kernels/attention_decode.ts";
import { type Heads, rowElements } from "../../src/kernels/heads.ts";
import { ropeFrequencies, ropeTable } from "../../src/model/rope_frequencies.ts";
import { attentionForward } from "../reference/attention.ts";
import { rope } from "../reference/rope.ts";
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

const POSITIONS = 300;
const ropeOf = ({ headSize }: Heads) => ({ headSize, ropeTheta: 10000, ropeScaling: null });

/** What decoding the last token of a sequence leaves. */
interface Decoded {
  out: Float32Array;
  /** The token's own row of the cache. */
  own: Float32Array;
  /** The rows of the tokens before it. */
  before: Float32Array;
}

/** The prompts of `lengths` tokens, cached in reverse order and apart but for their last rows, which are decoded. */
async function decodeLast(
  qkv: Float32Array,
  lengths: number[],
  heads: Heads,
  operand: "f32" | "f16",
  element: "f32" | "f16",
): Promise<Decoded[]> {
  const width = rowElements(heads);
  const [outWidth, cacheWidth] = [heads.numHeads, 2 * heads.numKvHeads].map((count) =>
    count * heads.headSize
  );
  const N = qkv.length / width;
  const firstRows: number[] = [];
  const cached: [row: number, cacheRow: number][] = [];
  const lastRows: number[] = [];
  let [end, start] = [2 * N, 0];
  for (const length of lengths) {
    end -= length + 1;
    firstRows.push(end);
    for (let i = 0; i < length - 1; i++) cached.push([start + i, end + i]);
    lastRows.push(start += length - 1);
    start++;
  }
  const B = lengths.length;
  const rowsOf = (rows: number[]) =>
    Float32Array.from(
      { length: rows.length * width },
      (_, i) => qkv[rows[Math.floor(i / width)] * width + i % width],
    );
  const cache = output([2 * N, cacheWidth], element);
  const out = output([B, outWidth], operand);
  const table = upload(ropeTable(ropeOf(heads), POSITIONS), [POSITIONS, heads.headSize]);
  const lengthPairs = Uint32Array.from(lengths.flatMap((length, b) => [firstRows[b], length]));
  run((commands) => {
    if (cached.length > 0) {
      const rows = upload(rowsOf(cached.map(([row]) => row)), [cached.length, width], operand);
      const to = upload(Uint32Array.from(cached, ([, cacheRow]) => cacheRow), [cached.length]);
      kvCacheWrite(commands, cache, rows, to);
    }
    const last = upload(rowsOf(lastRows), [B, width], operand);
    attentionDecode(commands, out, cache, last, table, upload(lengthPairs, [B, 2]), heads);
  });
  const [outs, kept] = [await read(out), await read(cache)];
  const nobodys = new Set(Array.from({ length: 2 * N }, (_, row) => row));
  const found = lengths.map((length, b) => {
    const ownRow = firstRows[b] + length - 1;
    for (let row = firstRows[b]; row <= ownRow; row++) nobodys.delete(row);
    return {
      out: outs.slice(b * outWidth, (b + 1) * outWidth),
      own: kept.slice(ownRow * cacheWidth, (ownRow + 1) * cacheWidth),
      before: kept.slice(firstRows[b] * cacheWidth, ownRow * cacheWidth),
    };
  });
  for (const row of nobodys) {
    assert.ok(kept.subarray(row * cacheWidth, (row + 1) * cacheWidth).every(Number.isNaN));
  }
  return found;
}

for (const operand of operandTypes) {
  for (const element of operandTypes) {
    Deno.test(`attention_decode equals the reference, ${operand} with a cache in ${element}`, () =>
      forEachVariant("attentionDecode", async () => {
        for (const { lengths, heads } of cases) {
          const width = rowElements(heads);
          const queries = heads.numHeads * heads.headSize;
          const N = lengths.reduce((sum, length) => sum + length, 0);
          // Numbers that both types hold, so that the reference sees what the cache has.
          const narrow = operandTypes.at(-1)!;
          const qkv = values(1, N * width, narrow, 2);
          const found = await decodeLast(qkv, lengths, heads, operand, element);
          let start = 0;
          for (const [b, length] of lengths.entries()) {
            const name = `${b} of lengths ${lengths} of ${JSON.stringify(heads)}`;
            const rows = qkv.subarray(start * width, (start + length) * width);
            const last = rows.subarray((length - 1) * width);
            const frequencies = ropeFrequencies(ropeOf(heads));
            const rotated = rope(last, frequencies, [length - 1], heads, 1);
            const tokens = [...rows.subarray(0, (length - 1) * width), ...rotated];
            const seen = Array.from({ length }, (_, row) => [...Array(row + 1).keys()]);
            const { out } = attentionForward(tokens, heads, seen);
            // As attention_forward's: the error of scores up to 4 HS^1/2 is the relative error of every weight. Those of the
            // rotation, two roundings of a query and of one key, are few beside them.
            const absolute = 16 * Math.sqrt(heads.headSize) * EPSILON.f32;
            assertClose(found[b].out, out.subarray((length - 1) * queries), {
              absolute: absolute + (operand === "f16" ? EPSILON.f16 : 0),
              name,
            });
            // As rope's: numbers up to 2 and rounded cosines and sines, then the rounding of the cache.
            assertClose(found[b].own, rotated.subarray(queries), {
              absolute: 4 * EPSILON[element],
              name: `own key and value, ${name}`,
            });
            const before = Array.from({ length: length - 1 }, (_, row) => [
              ...rows.subarray(row * width + queries, (row + 1) * width),
            ]);
            assert.deepEqual([...found[b].before], before.flat(), `what was cached, ${name}`);
            start += length;
          }
        }
      }));
  }
}

Deno.test("a sequence decodes to the same bits whatever is decoded beside it", () =>
  forEachVariant("attentionDecode", async () => {
    const heads = { numHeads: 3, numKvHeads: 1, headSize: 64 };
    const width = rowElements(heads);
    const mine = values(2, 150 * width);
    const others = values(3, 71 * width);
    const alone = await decodeLast(mine, [150], heads, "f32", "f32");
    const joined = Float32Array.of(...others, ...mine);
    const [, beside] = await decodeLast(joined, [71, 150], heads, "f32", "f32");
    assert.deepEqual([beside], alone);
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
