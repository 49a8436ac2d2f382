import assert from "node:assert/strict";
import { type TokenSequence, truncate, type Truncation } from "../../src/data/truncate.ts";

/** A sequence whose prompt tokens are 0, 1, ... and whose completion tokens are 100, 101, ... */
function sequence(prompt: number, completion: number): TokenSequence {
  const ids = Uint32Array.from(
    { length: prompt + completion },
    (_, i) => i < prompt ? i : 100 + i - prompt,
  );
  return { ids, promptLength: prompt };
}

function cut(
  policy: Truncation,
  maxLengthTokens: number,
  prompt: number,
  ...completions: number[]
): [number[], number][] | null {
  const result = truncate(
    completions.map((length) => sequence(prompt, length)),
    maxLengthTokens,
    policy,
  );
  return result?.map(({ ids, promptLength }) => [[...ids], promptLength]) ?? null;
}

Deno.test("truncate: what fits stays as it is under every policy", () => {
  for (
    const policy of ["keep_start", "keep_end", "prompt_first", "proportional", "drop"] as const
  ) {
    assert.deepEqual(cut(policy, 5, 3, 2, 1), [[[0, 1, 2, 100, 101], 3], [[0, 1, 2, 100], 3]]);
  }
});

Deno.test("truncate: drop", () => assert.equal(cut("drop", 5, 3, 2, 3), null));

Deno.test("truncate: keep_start cuts the end", () => {
  assert.deepEqual(cut("keep_start", 4, 2, 3, 1), [[[0, 1, 100, 101], 2], [[0, 1, 100], 2]]);
  assert.deepEqual(cut("keep_start", 2, 3, 1), [[[0, 1], 2]]);
});

Deno.test("truncate: keep_end cuts the beginning, of each as much as it must", () => {
  assert.deepEqual(cut("keep_end", 4, 3, 3, 1), [[[2, 100, 101, 102], 1], [[0, 1, 2, 100], 3]]);
  assert.deepEqual(cut("keep_end", 2, 3, 4), [[[102, 103], 1]]);
});

Deno.test("truncate: prompt_first keeps the end of the prompt, in the same length for both", () => {
  assert.deepEqual(cut("prompt_first", 4, 3, 3, 1), [[[1, 2, 100, 101], 2], [[1, 2, 100], 2]]);
  assert.deepEqual(cut("prompt_first", 4, 1, 6), [[[0, 100, 101, 102], 1]]);
});

Deno.test("truncate: proportional shares the length", () => {
  // Both beyond half: 10 * 12 / 24 = 5 each.
  assert.deepEqual(cut("proportional", 10, 12, 12)![0][1], 5);
  // A completion below half stays whole, the prompt gets the rest and keeps its beginning.
  assert.deepEqual(cut("proportional", 6, 9, 2, 1), [[[0, 1, 2, 3, 100, 101], 4], [[
    0,
    1,
    2,
    3,
    100,
  ], 4]]);
  // A prompt below half stays whole.
  assert.deepEqual(cut("proportional", 6, 2, 9), [[[0, 1, 100, 101, 102, 103], 2]]);
});

Deno.test("truncate: for all shapes, never too long, never without prompt, prompts alike", () => {
  for (const policy of ["keep_start", "prompt_first", "proportional", "keep_end"] as const) {
    for (let max = 2; max <= 7; max++) {
      for (let prompt = 1; prompt <= 9; prompt++) {
        for (let a = 0; a <= 9; a++) {
          for (let b = 0; b <= 9; b++) {
            const results = truncate([sequence(prompt, a), sequence(prompt, b)], max, policy)!;
            for (const { ids, promptLength } of results) {
              assert.ok(ids.length <= max && promptLength >= 1 && promptLength <= ids.length);
              assert.ok(
                policy === "keep_end" || ids.slice(0, promptLength).every((id) => id < 100),
              );
              assert.ok(ids.slice(promptLength).every((id) => id >= 100));
            }
            if (policy !== "keep_end") {
              assert.equal(results[0].promptLength, results[1].promptLength);
            }
          }
        }
      }
    }
  }
});
