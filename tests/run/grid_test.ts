import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { combinationsOf, nameOf } from "../../src/run/grid.ts";

Deno.test("a grid is each value with each, and every run has a name of its own", () => {
  const combinations = combinationsOf("beta=0.05,0.1 --learning_rate=1e-6,5e-6; loss_type=ipo");
  assert.deepEqual(combinations.map(nameOf), [
    "beta-0.05_learning-rate-1e-6_loss-type-ipo",
    "beta-0.05_learning-rate-5e-6_loss-type-ipo",
    "beta-0.1_learning-rate-1e-6_loss-type-ipo",
    "beta-0.1_learning-rate-5e-6_loss-type-ipo",
  ]);
  assert.deepEqual(combinationsOf("beta=1,1,2").map(nameOf), ["beta-1", "beta-2"]);
});

Deno.test("a grid that says nothing, something else, or too much is refused", () => {
  const cases: [string, RegExp][] = [
    ["", /--grid to say what to try/],
    ["beta", /NAME=VALUE.*found "beta"/],
    ["beta=", /NAME=VALUE.*found "beta="/],
    ["max_steps=1 max-steps=2", /once, found max-steps twice/],
    [`seed=${Array.from({ length: 1001 }, (_, i) => i)}`, /at most 1000 runs, found 1001/],
  ];
  for (const [grid, message] of cases) {
    assert.throws(
      () => combinationsOf(grid),
      (error: Error) => error instanceof UserError && message.test(error.message),
    );
  }
});
