import assert from "node:assert/strict";
import type { DatasetRow } from "../../src/data/rows.ts";
import type { Prepared, PreparedRow } from "../../src/data/prepared.ts";
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
  rows: [
    row(0, [1, [5, 6]], [1, [5, 2 ** 32 - 1, 0]]),
    { ...row(53, [2, [7, 8]]), terms: { margin: -0.5 } },
    row(99),
  ],
  counts: { rows: 100, kept: 3 } as Prepared<PreparedRow>["counts"],
  format: "text with “quotes”",
  translated: false,
  encoding: "as it is",
  unusedColumns: ["a"],
  hash: "0123",
};
/** A dataset of more rows than are verified. */
async function* open() {
  for (let i = 0; i < 100; i++) yield { where: `row ${i}`, value: { i } };
}

/** What is made of its rows. */
const making = (rows: readonly PreparedRow[]) => ({ value }: DatasetRow) =>
  rows.filter(({ index }) => index === value.i).map(({ index: _, ...example }) => example);

Deno.test("token cache: what was saved is loaded, after rows from the first to the last were made again", async () => {
  const cache = new MemoryCache();
  const saving = new TokenCache(cache, "k", open);
  assert.equal(await saving.load(() => assert.fail("there is nothing to verify")), null);
  assert.equal(saving.outcome, "none yet");
  await saving.save(prepared);
  const loading = new TokenCache(cache, "k", open);
  const seen: unknown[] = [];
  const make = making(prepared.rows);
  assert.deepEqual(await loading.load((row) => (seen.push(row.value.i), make(row))), prepared);
  assert.deepEqual(seen, [0, 7, 13, 20, 26, 33, 40, 46, 53, 59, 66, 73, 79, 86, 92, 99]);
  assert.equal(loading.outcome, "of 3 rows, 16 of the dataset verified");
  assert.equal(await new TokenCache(cache, "l", open).load(make), null);
});

Deno.test("token cache: rows that are made otherwise now leave the entry aside", async () => {
  const cache = new MemoryCache();
  await new TokenCache(cache, "k", open).save(prepared);
  const [first, middle, last] = prepared.rows;
  const others: PreparedRow[][] = [
    [],
    [first, row(53, [2, [7, 8]]), last],
    [first, { ...middle, terms: { margin: -0.25 } }, last],
    [first, { ...middle, terms: { weight: -0.5 } }, last],
    [first, { ...middle, terms: { margin: -0.5, label: false } }, last],
    [{ ...first, terms: { weight: 1 } }, middle, last],
    [first, last],
    [first, middle],
    [first, middle, last, row(13, [1, [1, 2]])],
    [first, row(59, [2, [7, 8]]), last],
    [first, row(53, [1, [7, 8]]), last],
    [first, row(53, [2, [7, 9]]), last],
    [first, row(53, [2, [7, 8, 9]]), last],
    [first, row(53, [2, [7, 8]], [2, [7, 8]]), last],
    [first, middle, middle, last],
  ];
  for (const rows of others) {
    const loading = new TokenCache(cache, "k", open);
    assert.equal(await loading.load(making(rows)), null);
    assert.equal(loading.outcome, "ignored, as rows encoded again differ from them");
  }
});
