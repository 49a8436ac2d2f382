import assert from "node:assert/strict";
import type { MetricsLine } from "../../src/report/run_record.ts";
import { UserError } from "../../src/errors.ts";
import { EvaluationPlan } from "../../src/run/evaluation_plan.ts";

const OPTIONS = {
  evalStrategy: "steps",
  evalSteps: 2,
  metricForBestModel: "loss",
  greaterIsBetter: null,
  loadBestModelAtEnd: false,
  earlyStoppingPatience: 2,
} as const;

const plan = (options = {}, stepsPerEpoch = 5) =>
  new EvaluationPlan({ ...OPTIONS, ...options }, stepsPerEpoch);

/** Lines of training steps, with evaluations of these losses every second step. */
function linesOf(losses: number[]): MetricsLine[] {
  return losses.flatMap((loss, i): MetricsLine[] => [
    { step: 2 * i, loss: 1 },
    { step: 2 * i, eval_loss: loss, "eval_rewards/accuracies": 1 - loss },
  ]);
}

Deno.test("evaluations are due by steps or by epochs", () => {
  const due = (options: object) => [1, 2, 3, 4, 5, 10].filter((step) => plan(options).isDue(step));
  assert.deepEqual(due({}), [2, 4, 10]);
  assert.deepEqual(due({ evalStrategy: "epoch" }), [5, 10]);
  assert.deepEqual(due({ evalStrategy: "no" }), []);
});

Deno.test("the best evaluation is the first of equal ones, and never that before training", () => {
  const losses = [0.1, 0.5, 0.4, 0.4, 0.6];
  assert.deepEqual(plan().best(linesOf(losses)), { step: 4, metric: "eval_loss", value: 0.4 });
  const accuracy = plan({ metricForBestModel: "eval_rewards/accuracies" });
  assert.equal(accuracy.best(linesOf(losses))?.step, 4);
  assert.equal(plan({ greaterIsBetter: true }).best(linesOf(losses))?.step, 8);
  assert.equal(plan().best(linesOf([0.1])), null);
});

Deno.test("the patience ends with as many evaluations in a row that are no better", () => {
  const isExhausted = (losses: number[], options = {}) =>
    plan(options).isExhausted(linesOf(losses));
  assert.equal(isExhausted([0.7, 0.5, 0.6]), false);
  assert.equal(isExhausted([0.7, 0.5, 0.6, 0.5]), true);
  assert.equal(isExhausted([0.7, 0.5, 0.6, 0.4, 0.5]), false);
  assert.equal(isExhausted([0.7, 0.5, 0.6, 0.6, 0.6], { earlyStoppingPatience: 0 }), false);
});

Deno.test("a metric that is not measured is refused with those that are", () => {
  const measures = ["eval_loss", "eval_loss_ci95", "eval_rewards/accuracies"];
  plan().check(measures);
  for (const metricForBestModel of ["f1", "eval_f1", "loss_ci95"]) {
    assert.throws(
      () => plan({ metricForBestModel }).check(measures),
      new UserError(
        "Expected --metric-for-best-model to be one of loss, rewards/accuracies, " +
          `found "${metricForBestModel}"`,
      ),
    );
  }
});

Deno.test("less is better of losses, drift and bad writing, and the choice is said in words", () => {
  const best = (metricForBestModel: string, options = {}) =>
    plan({ metricForBestModel, ...options }).inWords;
  for (const name of ["loss", "math_loss", "kl", "eval_math_kl", "completions/seq_rep_4"]) {
    assert.match(best(name)!, /with the smallest eval_\S+; --greater-is-better asks for the/, name);
  }
  for (
    const name of ["rewards/margins", "answers/correct", "completions/mean_length", "math_skl"]
  ) {
    assert.match(best(name)!, /with the largest eval_\S+; --no-greater-is-better asks/, name);
  }
  assert.equal(best("kl", { greaterIsBetter: true }), "the evaluation with the largest eval_kl");
  assert.equal(best("kl", { earlyStoppingPatience: 0 }), null);
});
