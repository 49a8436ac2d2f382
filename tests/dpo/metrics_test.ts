import assert from "node:assert/strict";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { byLength, intervals, PairMetrics } from "../../src/dpo/metrics.ts";
import { PAIR_METRICS, type PairMetric } from "../../src/kernels/dpo_loss.ts";

/** What the loss kernel leaves of a pair; 0 where nothing is given. */
function pair(values: Partial<Record<PairMetric, number>>): number[] {
  return PAIR_METRICS.map((name) => values[name] ?? 0);
}

Deno.test("metrics: means over pairs, however they come in batches", () => {
  const pairs = [
    pair({ loss: 1, reward_chosen: 2, reward_rejected: -1, logp_chosen: -5, delta: 3 }),
    pair({ loss: 2, reward_chosen: 0, reward_rejected: 2, logp_chosen: -7, delta: -2 }),
    pair({ loss: 6, reward_chosen: 1, reward_rejected: 2, logp_rejected: -3, delta: -1 }),
  ];
  const together = new PairMetrics();
  together.add(pairs.flat());
  const apart = new PairMetrics();
  apart.add(pairs[0]);
  apart.add(pairs.slice(1).flat());
  assert.equal(together.count, 3);
  assert.deepEqual(together.summary(0), {
    "loss": 3,
    "rewards/chosen": 1,
    "rewards/rejected": 1,
    "rewards/accuracies": 1 / 3,
    "rewards/margins": 0,
    "logps/chosen": -4,
    "logps/rejected": -1,
  });
  assert.deepEqual(apart.summary(0), together.summary(0));
});

Deno.test("metrics: a tie is wrong in training and a coin's throw in an evaluation", () => {
  const metrics = new PairMetrics();
  metrics.add([...pair({ delta: 0 }), ...pair({ delta: 1 })]);
  assert.equal(metrics.summary(0)["rewards/accuracies"], 0.5);
  assert.equal(metrics.summary(0.5)["rewards/accuracies"], 0.75);
});

Deno.test("metrics: intervals are 1.96 standard errors over pairs", () => {
  const rows = [1, 2, 3, 6].map((loss, i) => ({
    loss,
    reward_chosen: i,
    reward_rejected: 0,
    delta: i - 1, // one wrong, one tie, two right
  }));
  const near = (found: number, expected: number) =>
    assert.ok(Math.abs(found - expected) < 1e-12, `${found}, expected ${expected}`);
  const found = intervals(rows);
  near(found.loss_ci95, 1.96 * Math.sqrt((4 + 1 + 0 + 9) / 3 / 4));
  near(found["rewards/margins_ci95"], 1.96 * Math.sqrt((2.25 + 0.25 + 0.25 + 2.25) / 3 / 4));
  // Where all of n are right, Wilson's interval reaches from n / (n + z^2) to 1.
  const right = intervals(Array.from({ length: 8 }, () => ({ ...rows[3], delta: 1 })));
  near(right["rewards/accuracies_ci95"], (1 - 8 / (8 + 1.96 ** 2)) / 2);
  assert.deepEqual(intervals(rows.slice(0, 1)), {});
});

Deno.test("metrics: accuracies by length, and what length alone would tell", () => {
  const sequence = (tokens: number) => ({ ids: new Uint32Array(2 + tokens), promptLength: 2 });
  const pairs: PreferencePair[] = [[5, 3], [4, 1], [1, 3], [2, 2]].map(([c, r], index) => ({
    index,
    chosen: sequence(c),
    rejected: sequence(r),
  }));
  const rows = [1, -1, 1, -1].map((delta) => ({ delta }));
  assert.deepEqual(byLength(pairs, rows), {
    "length/accuracies": 2.5 / 4,
    "rewards/accuracies_longer": 0.5,
    "rewards/accuracies_shorter": 1,
  });
  assert.deepEqual(byLength(pairs.slice(0, 1), rows.slice(0, 1)), {
    "length/accuracies": 1,
    "rewards/accuracies_longer": 1,
  });
});
