import assert from "node:assert/strict";
import { packPairs, packSequences, scoredTokens, treeTokens } from "../../src/dpo/pack.ts";
import { NO_POSITION } from "../../src/kernels/logprob.ts";
import type { PackedBatch } from "../../src/model/batch.ts";
import { awkwardPairs, randomPairs } from "../model/small_models.ts";

const COMPLETION = { scope: "completion", reduction: "sum" } as const;
const ALL = { scope: "all", reduction: "mean" } as const;

/** The scored positions of a batch, by sequence: packed row, token and weight. */
function scoredOf({ scored, sequences }: PackedBatch) {
  const weights = new Float32Array(scored.buffer);
  return Array.from({ length: sequences.length / 4 }, (_, sequence) => {
    const [begin, , end] = sequences.subarray(4 * sequence);
    return Array.from({ length: end - begin }, (_, i) => {
      const at = 4 * (begin + i);
      assert.equal(scored[at + 2], sequence);
      return { row: scored[at], target: scored[at + 1], weight: weights[at + 3] };
    });
  });
}

Deno.test("pack: a pair is its common beginning once, then what is left of both sides", () => {
  const [pair] = [{
    index: 0,
    chosen: { ids: Uint32Array.of(1, 2, 3, 4, 5), promptLength: 2 },
    rejected: { ids: Uint32Array.of(1, 2, 3, 7), promptLength: 2 },
  }];
  const batch = packPairs([pair], { ...COMPLETION, chunkRows: 64 });
  assert.deepEqual([...batch.tokens], [1, 2, 3, 4, 5, 7]);
  assert.deepEqual([...batch.positions], [0, 1, 2, 3, 4, 3]);
  assert.equal(treeTokens(pair), 6);
  assert.deepEqual(scoredOf(batch), [
    [{ row: 1, target: 3, weight: 1 }, { row: 2, target: 4, weight: 1 }, {
      row: 3,
      target: 5,
      weight: 1,
    }],
    [{ row: 1, target: 3, weight: 1 }, { row: 2, target: 7, weight: 1 }],
  ]);
  // The rows before 3 and before the fork are scored for both sides, and computed once.
  assert.deepEqual([...batch.rows], [1, 2, 3]);
  assert.deepEqual([...batch.rowScored], [0, 3, 1, 4, 2, NO_POSITION]);
});

for (const [name, options] of Object.entries({ COMPLETION, ALL })) {
  Deno.test(`pack: every scored row stands before its token in its sequence, ${name}`, () => {
    const pairs = [...randomPairs(1, 9, 50, 90), ...awkwardPairs()];
    for (const sharePrefix of [true, false]) {
      const batch = packPairs(pairs, { ...options, chunkRows: 64, sharePrefix });
      const total = pairs.reduce(
        (sum, pair) =>
          sum +
          (sharePrefix ? treeTokens(pair) : pair.chosen.ids.length + pair.rejected.ids.length),
        0,
      );
      assert.equal(batch.tokens.length, total);
      const sequences = pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);
      for (const [i, scored] of scoredOf(batch).entries()) {
        const { ids, promptLength } = sequences[i];
        const first = options.scope === "all" ? 1 : promptLength;
        assert.equal(scored.length, scoredTokens(sequences[i], options.scope));
        for (const [j, { row, target, weight }] of scored.entries()) {
          assert.equal(batch.positions[row], first + j - 1);
          assert.equal(batch.tokens[row], ids[first + j - 1]);
          assert.equal(target, ids[first + j]);
          assert.equal(weight, Math.fround(options.reduction === "mean" ? 1 / scored.length : 1));
        }
      }
    }
  });
}

Deno.test("pack: groups hold whole pairs, fit a chunk where they can, and begin at multiples of 64", () => {
  const pairs = randomPairs(2, 12, 50, 120);
  const { groups, rows } = packPairs(pairs, { ...ALL, chunkRows: 64 });
  let sequence = 0;
  for (const { firstRow, rowCount, firstSequence, sequenceCount } of groups) {
    assert.equal(firstRow % 64, 0);
    assert.equal(firstSequence, sequence);
    assert.equal(sequenceCount % 2, 0);
    assert.ok(rowCount <= 64 || sequenceCount === 2, `${rowCount} rows of ${sequenceCount}`);
    sequence += sequenceCount;
  }
  assert.equal(sequence, 2 * pairs.length);
  assert.equal(rows.length, groups.at(-1)!.firstRow + groups.at(-1)!.rowCount);
});

Deno.test("pack: pairs of a loss across pairs form one group, however many rows they have", () => {
  const pairs = randomPairs(2, 12, 50, 120);
  const { groups, rows } = packPairs(pairs, { ...ALL, chunkRows: 64, acrossPairs: true });
  assert.ok(rows.length > 64);
  assert.deepEqual(groups, [
    { firstRow: 0, rowCount: rows.length, firstSequence: 0, sequenceCount: 24 },
  ]);
});

Deno.test("pack: sequences for next-token training share nothing and weigh alike", () => {
  const sequences = randomPairs(3, 4, 50).map(({ chosen }) => chosen);
  const batch = packSequences(sequences, { scope: "completion", weight: 0.25, chunkRows: 64 });
  assert.deepEqual([...batch.tokens], sequences.flatMap(({ ids }) => [...ids]));
  for (const [i, scored] of scoredOf(batch).entries()) {
    const { ids, promptLength } = sequences[i];
    assert.deepEqual(scored.map(({ target }) => target), [...ids.subarray(promptLength)]);
    assert.ok(scored.every(({ weight }) => weight === 0.25));
  }
});
