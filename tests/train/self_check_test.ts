import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import type { StepMetrics } from "../../src/train/step_metrics.ts";
import { checkFirstStep } from "../../src/train/self_check.ts";

const step = (loss: number, grad_norm: number): StepMetrics => ({
  ...{ step: 1, epoch: 1, loss, learning_rate: 1, tokens: 1, skipped_steps: 0, loss_scale: 1 },
  grad_norm,
});

Deno.test("the first step must start from the loss of equal models with a gradient", () => {
  const { LN2 } = Math;
  assert.match(checkFirstStep(step(LN2, 1.5), LN2, 0.1), /ln 2 .* gradient norm 1.50/);
  assert.match(
    checkFirstStep(step(25.002, 1.5), 25, 0.1),
    /^loss 25 at step 1, gradient norm 1.50/,
  );
  for (const bad of [0.7, NaN]) {
    assert.throws(() => checkFirstStep(step(bad, 1.5), LN2, 0.1), /expected loss ln 2 .* found/);
  }
  assert.throws(() => checkFirstStep(step(LN2, 0), LN2, 0.1), UserError);
  assert.throws(
    () => checkFirstStep(step(LN2, 0), LN2, 0.1),
    /expected a gradient, found norm 0: the first pairs are identical/,
  );
  assert.throws(() => checkFirstStep(step(LN2, 0), LN2, 1e-30), /norm 0: --beta 1e-30 makes it/);
});

Deno.test("with a reference of its own the first loss may be anything", () => {
  assert.equal(checkFirstStep(step(0.7, 1.5), null, 0.1), "gradient norm 1.50");
});
