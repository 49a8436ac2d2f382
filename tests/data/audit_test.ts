import assert from "node:assert/strict";
import { auditInWords, auditPairs, flipsInWords } from "../../src/data/audit.ts";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { suspectedFlips } from "../../src/dpo/label_flips.ts";

/** Pairs with the prompts and answers given, one token to a number. */
function pairsOf(
  ...rows: [prompt: number[], chosen: number[], rejected: number[]][]
): PreferencePair[] {
  const side = (prompt: number[], completion: number[]) => ({
    ids: Uint32Array.from([...prompt, ...completion]),
    promptLength: prompt.length,
  });
  return rows.map(([prompt, chosen, rejected], index) => ({
    index,
    chosen: side(prompt, chosen),
    rejected: side(prompt, rejected),
  }));
}

const NO_EMPTY = { droppedEmptyCompletion: 0 };

Deno.test("audit: duplicates, contradictions and answers that are the same", () => {
  const pairs = pairsOf(
    [[1], [2, 3], [4]],
    [[1], [2, 3], [4]],
    [[1], [4], [2, 3]],
    [[1], [5], [5]],
    [[9], [2, 3], [4]],
    // The same tokens, but the prompt ends elsewhere: another pair all the same for what is trained.
    [[1], [2], [3]],
  );
  const audit = auditPairs(pairs, { droppedEmptyCompletion: 7 });
  assert.deepEqual(audit.duplicates, { count: 1, rows: [1] });
  assert.deepEqual(audit.contradictions, { count: 1, rows: [2] });
  assert.deepEqual(audit.identical, { count: 1, rows: [3] });
  assert.equal(audit.emptyAnswers, 7);
  assert.equal(audit.leakedPairs, undefined);
  assert.equal(
    auditInWords(audit),
    "1 duplicates of earlier pairs, 1 pairs that contradict an earlier one, 1 pairs with the same answer twice, " +
      "7 pairs left out for an empty answer, chosen is longer in 66.7 % of pairs",
  );
});

Deno.test("audit: what a rule of length would get right", () => {
  const longer = auditPairs(pairsOf([[1], [2, 3], [4]], [[1, 2], [3], [4]]), NO_EMPTY);
  assert.equal(longer.longerWins, 0.75);
  const shorter = auditPairs(pairsOf([[1], [2], [4, 5]], [[2], [2], [4, 5]]), NO_EMPTY);
  assert.equal(auditInWords(shorter), "chosen is longer in 0.0 % of pairs");
  const even = auditPairs(pairsOf([[1], [2, 6], [4]], [[2], [2], [4, 5]]), NO_EMPTY);
  assert.equal(auditInWords(even), "", "nothing found, nothing said");
});

Deno.test("audit: held-out pairs and prompts that are training data, either way round", () => {
  const training = pairsOf([[1], [2], [3]], [[4], [5], [6]]);
  const heldOut = pairsOf(
    [[1], [2], [3]],
    [[4], [6], [5]],
    [[4], [7], [8]],
    [[9], [2], [3]],
  );
  const audit = auditPairs(heldOut, NO_EMPTY, training);
  assert.deepEqual(audit.leakedPairs, { count: 2, rows: [0, 1] });
  assert.deepEqual(audit.leakedPrompts, { count: 1, rows: [2] });
  assert.match(auditInWords(audit), /^2 pairs that are training data, 1 prompts that are in the/);
});

Deno.test("audit: the rows of the first ten, and order and length of tokens matter", () => {
  const many = pairsOf(
    ...Array.from({ length: 30 }, () => [[1], [2], [3]] as [number[], number[], number[]]),
  );
  assert.deepEqual(auditPairs(many, NO_EMPTY).duplicates, {
    count: 29,
    rows: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  });
  // Neighbouring and permuted sequences of few tokens are where a weak digest would fail.
  const rows: [number[], number[], number[]][] = [];
  for (let a = 0; a < 24; a++) {
    for (let b = 0; b < 24; b++) {
      for (let c = 0; c < 24; c++) rows.push([[a], [b, c], [0]], [[a], [b], [c]]);
    }
  }
  const audit = auditPairs(pairsOf(...rows), NO_EMPTY);
  assert.equal(audit.duplicates.count, 0);
  assert.equal(audit.identical.count, 24 * 24);
});

Deno.test("audit: labels that the reference doubts, the most doubtful first", () => {
  const pairs = pairsOf(
    [[1], [2, 3], [4]],
    [[1], [2, 3], [4]],
    [[1], [2, 3], [4]],
    [[1], [2, 3], [4]],
  );
  // Sums over two tokens of chosen and one of rejected.
  const scores = [[-6, -1.9], [-6, -2.1], [-9, -1], [-1, -9]];
  const known = new Map(pairs.map((pair, i) => {
    const [chosen, rejected] = scores[i];
    return [pair, Float32Array.of(0, chosen, 0, 0, 0, rejected, 0, 0)];
  }));
  const reference = {
    knows: (pairs: readonly PreferencePair[]) => pairs.every((pair) => known.has(pair)),
    of: (pair: PreferencePair) => known.get(pair)!,
  };
  const flips = suspectedFlips(reference, pairs);
  assert.deepEqual(flips, { count: 2, rows: [2, 0], scored: 4 });
  assert.equal(flipsInWords(flips), "the reference doubts 2 of 4 labels, in rows 2, 0");
  assert.equal(flipsInWords({ count: 0, rows: [], scored: 4 }), "");
  known.delete(pairs[2]);
  assert.deepEqual(suspectedFlips(reference, pairs), { count: 1, rows: [0], scored: 3 });
});
