import assert from "node:assert/strict";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { AnswerMetrics } from "../../src/dpo/answer_metrics.ts";
import { PAIR_METRICS, type PairMetric } from "../../src/kernels/dpo_loss.ts";

const sequence = { ids: new Uint32Array(), promptLength: 0 };

/** What the loss kernel leaves of an answer, and the answer. */
function answer(label: boolean, values: Partial<Record<PairMetric, number>>) {
  const pair: PreferencePair = { index: 0, chosen: sequence, rejected: sequence, label };
  return { pair, numbers: PAIR_METRICS.map((name) => values[name] ?? 0) };
}

/** Adds micro-batches. */
function summaryOf(metrics: AnswerMetrics, ...batches: ReturnType<typeof answer>[][]) {
  for (const batch of batches) {
    metrics.add(batch.flatMap(({ numbers }) => numbers), batch.map(({ pair }) => pair));
  }
  return metrics.summary(0);
}

const BATCH = [
  answer(true, { loss: 1, reward_chosen: 2, reward_rejected: 3, logp_chosen: -4 }),
  answer(true, { loss: 2, reward_chosen: 1, reward_rejected: 0, logp_chosen: -6 }),
  answer(false, { loss: 3, reward_chosen: -3, reward_rejected: 0, logp_chosen: -7 }),
  answer(false, { loss: 2, reward_chosen: 0.5, reward_rejected: 1, logp_chosen: -9 }),
];

Deno.test("metrics of answers: good and bad ones apart, right on their side of the divergence", () => {
  // The mean of 3, 0, 0 and 1 is 1, and 1 / beta nats: the second answer is a tie.
  const metrics = new AnswerMetrics(0.5, true);
  assert.deepEqual(summaryOf(metrics, BATCH), {
    loss: 2,
    "rewards/chosen": 1.5,
    "logps/chosen": -5,
    "rewards/rejected": -1.25,
    "logps/rejected": -8,
    "rewards/accuracies": 0.75,
    "rewards/margins": 2.75,
    kl: 2,
  });
  assert.equal(metrics.summary(0.5)["rewards/accuracies"], 0.875);
  // Of held-out answers `kl` is that of answers that the model draws.
  const { kl, kl_mismatched: estimate } = metrics.heldOut();
  assert.deepEqual([kl, estimate], [undefined, 2]);
  // As TRL: a mean over micro-batches, each not below 0.
  const below = [answer(true, { reward_rejected: -8 })];
  assert.equal(summaryOf(new AnswerMetrics(0.5, true), BATCH, below).kl, 1);
});

Deno.test("metrics of answers: without a divergence, and of good ones alone", () => {
  const { kl, "rewards/accuracies": accuracy } = summaryOf(new AnswerMetrics(0.5, false), BATCH);
  assert.deepEqual([kl, accuracy], [undefined, 0.75]);
  const good = summaryOf(new AnswerMetrics(0.5, true), BATCH.slice(0, 2));
  assert.deepEqual(Object.keys(good).filter((name) => /rejected|margins/.test(name)), []);
  const { loss_ci95 } = new AnswerMetrics(0.5, true).intervals([1, 3]);
  assert.ok(Math.abs(loss_ci95 - 1.96) < 1e-12);
});
