import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import type { StepMetrics } from "../../src/train/loop.ts";
import { checkFirstStep } from "../../src/train/self_check.ts";

const step = (loss: number, grad_norm: number): StepMetrics => ({
  ...{ step: 1, epoch: 1, loss, learning_rate: 1, tokens: 1, skipped_steps: 0, loss_scale: 1 },
  grad_norm,
});

Deno.test("the first step must start from ln 2 with a gradient", () => {
  assert.match(checkFirstStep(step(Math.LN2, 1.5), true), /ln 2 .* gradient norm 1.50/);
  assert.throws(() => checkFirstStep(step(0.7, 1.5), true), /expected loss ln 2 .* found 0.7/);
  assert.throws(() => checkFirstStep(step(Math.LN2, 0), true), UserError);
  assert.throws(() => checkFirstStep(step(Math.LN2, 0), true), /expected a gradient, found norm 0/);
});

Deno.test("with a reference of its own the first loss may be anything", () => {
  assert.equal(checkFirstStep(step(0.7, 1.5), false), "gradient norm 1.50");
});
