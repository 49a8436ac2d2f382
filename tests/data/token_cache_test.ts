import assert from "node:assert/strict";
import type { DatasetRow } from "../../src/data/rows.ts";
import type { Prepared, PreparedRow } from "../../src/data/prepare.ts";
import { TokenCache } from "../../src/data/token_cache.ts";
import { MemoryCache } from "../formats/memory_cache.ts";

const row = (
  index: number,
  ...sequences: [promptLength: number, ids: number[]][]
): PreparedRow => ({
  index,
  sequences: sequences.map(([promptLength, ids]) => ({ promptLength, ids: Uint32Array.from(ids) })),
});
const prepared: Prepared<PreparedRow> = {
  rows: [row(0, [1, [5, 6]], [1, [5, 2 ** 32 - 1, 0]]), row(2, [2, [7, 8]]), row(9)],
  counts: { rows: 12, kept: 3 } as Prepared<PreparedRow>["counts"],
  format: "text with “quotes”",
  encoding: "as it is",
  unusedColumns: ["a"],
  hash: "0123",
};
/** A dataset of more rows than are verified. */
async function* open() {
  for (let i = 0; i < 100; i++) yield { where: `row ${i}`, value: { i } };
}

/** What is made of its rows: the first two that are kept, or others. */
const making = (rows: readonly PreparedRow[]) => ({ value }: DatasetRow) =>
  rows.find(({ index }) => index === value.i)?.sequences ?? null;

Deno.test("token cache: what was saved is loaded, after the first rows were made again", async () => {
  const cache = new MemoryCache();
  const saving = new TokenCache(cache, "k", open);
  assert.equal(await saving.load(() => assert.fail("there is nothing to verify")), null);
  assert.equal(saving.outcome, "none yet");
  await saving.save(prepared);
  const loading = new TokenCache(cache, "k", open);
  let seen = 0;
  const make = making(prepared.rows);
  assert.deepEqual(await loading.load((row) => (seen++, make(row))), prepared);
  assert.equal(seen, 16);
  assert.equal(loading.outcome, "of 3 rows, the first 16 of them verified");
  assert.equal(await new TokenCache(cache, "l", open).load(make), null);
});

Deno.test("token cache: rows that are made otherwise now leave the entry aside", async () => {
  const cache = new MemoryCache();
  await new TokenCache(cache, "k", open).save(prepared);
  const [zero, two, nine] = prepared.rows;
  const others = [
    [],
    [zero, nine],
    [zero, two, nine, row(15, [1, [1, 2]])],
    [zero, row(3, [2, [7, 8]]), nine],
    [zero, row(2, [1, [7, 8]]), nine],
    [zero, row(2, [2, [7, 9]]), nine],
    [zero, row(2, [2, [7, 8, 9]]), nine],
    [zero, row(2, [2, [7, 8]], [2, [7, 8]]), nine],
  ];
  for (const rows of others) {
    const loading = new TokenCache(cache, "k", open);
    assert.equal(await loading.load(making(rows)), null);
    assert.equal(loading.outcome, "ignored, as rows encoded again differ from them");
  }
});
