import assert from "node:assert/strict";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { suspectedFlips } from "../../src/dpo/label_flips.ts";

/** A pair whose completions have 2 and 4 tokens. */
const pair = (index: number): PreferencePair => ({
  index,
  chosen: { ids: Uint32Array.of(1, 2, 3), promptLength: 1 },
  rejected: { ids: Uint32Array.of(1, 2, 3, 4, 5), promptLength: 1 },
});

Deno.test("a label is doubted where the rejected answer is likelier by more than a nat per token", () => {
  // By pair: log-probabilities per token of chosen and rejected; of the last one nothing is known.
  const known = [[-3, -2.5], [-3, -2], [-3, -1.9], [-5, -1], [-1, -3]];
  const pairs = Array.from({ length: 6 }, (_, i) => pair(i));
  const reference = {
    knows: ([{ index }]: readonly PreferencePair[]) => index < known.length,
    of: ({ index }: PreferencePair) => {
      const [chosen, rejected] = known[index];
      return Float32Array.of(0, 2 * chosen, 0, 0, 0, 4 * rejected, 0, 0);
    },
  };
  assert.deepEqual(suspectedFlips(reference, pairs), { count: 2, rows: [3, 2], scored: 5 });
});
