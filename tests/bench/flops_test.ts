import assert from "node:assert/strict";
import { stepFlops } from "../../src/bench/flops.ts";
import { SMOLLM_135M } from "../../src/bench/models.ts";
import { equalPairs } from "../../src/bench/pairs.ts";
import { packPairs } from "../../src/dpo/pack.ts";

const pairs = equalPairs(8, 512, 256, SMOLLM_135M.vocabSize);
const begin = 25;

function teraflops(
  scope: "all" | "completion",
  sharePrefix: boolean,
  work: Parameters<typeof stepFlops>[3],
): number {
  const packed = packPairs(pairs, { scope, reduction: "sum", chunkRows: 4096, sharePrefix });
  return stepFlops(SMOLLM_135M, packed, begin, work) / 1e12;
}

function assertNear(found: number, expected: number): void {
  assert.ok(Math.abs(found / expected - 1) < 0.01, `expected about ${expected}, found ${found}`);
}

Deno.test("operations of a step of 8 pairs of 512 tokens are those worked out by hand", () => {
  // 8,192 tokens. Forward: 30 layers of 7.08 MFLOP and 0.59 of attention, a head of 56.6; five layers and the head backward.
  const naive = teraflops("all", false, { cachedTrunk: false, reference: "separate" });
  assertNear(naive, 6.26);
  const scored = teraflops("completion", false, { cachedTrunk: false, reference: "separate" });
  assertNear(scored, 5.34);
  const shared = teraflops("completion", false, { cachedTrunk: false, reference: "sharedTrunk" });
  assertNear(shared, 3.77);
  const cached = teraflops("completion", false, { cachedTrunk: false, reference: "cached" });
  assertNear(cached, 3.22);
  const prefix = teraflops("completion", true, { cachedTrunk: false, reference: "cached" });
  assertNear(prefix, 2.59);
  const all = teraflops("completion", true, { cachedTrunk: true, reference: "cached" });
  assertNear(all, 1.41);
});
