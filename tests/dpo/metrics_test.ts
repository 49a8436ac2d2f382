import assert from "node:assert/strict";
import { PairMetrics } from "../../src/dpo/metrics.ts";
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
