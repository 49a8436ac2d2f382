import assert from "node:assert/strict";
import type { LossOptions, PairScores } from "../../src/losses/loss.ts";
import { LOSS_TYPES, LOSSES, lossOfEquals } from "../../src/losses/losses.ts";
import { assertClose } from "../kernels/harness.ts";

const PLAIN: LossOptions = { beta: 0.1, labelSmoothing: 0 };

Deno.test("the derivatives of the losses are those of their values", () => {
  const options = { beta: 0.3, labelSmoothing: 0.1 };
  const scores = { chosen: -3.1, rejected: -2.4, referenceChosen: -3, referenceRejected: -2.9 };
  const h = 1e-5;
  for (const name of LOSS_TYPES) {
    const at = (change: Partial<PairScores>) =>
      LOSSES[name].of({ ...scores, ...change }, options).value;
    const { dchosen, drejected } = LOSSES[name].of(scores, options);
    const byChosen = (at({ chosen: -3.1 + h }) - at({ chosen: -3.1 - h })) / (2 * h);
    const byRejected = (at({ rejected: -2.4 + h }) - at({ rejected: -2.4 - h })) / (2 * h);
    assertClose([dchosen, drejected], [byChosen, byRejected], { absolute: 1e-8, name });
  }
});

Deno.test("no loss is infinite or NaN where a margin is extreme", () => {
  for (const name of LOSS_TYPES) {
    for (const z of [-1e4, -200, 0, 200, 1e4]) {
      for (const [chosen, rejected] of [[10 * z, 0], [0, -10 * z], [5 * z, -5 * z]]) {
        const scores = { chosen, rejected, referenceChosen: 0, referenceRejected: 0 };
        for (const labelSmoothing of [0, 0.2]) {
          const loss = LOSSES[name].of(scores, { ...PLAIN, labelSmoothing });
          assert.ok(Object.values(loss).every(Number.isFinite), `${name} of ${z}: ${loss.value}`);
        }
      }
    }
  }
});

Deno.test("losses worked out by hand: beta 0.1, delta 2", () => {
  const scores = { chosen: -10, rejected: -13, referenceChosen: -11, referenceRejected: -12 };
  const smooth = { ...PLAIN, labelSmoothing: 0.25 };
  // log(1 + e^-0.2) = 0.5981388694, log(1 + e^0.2) = 0.7981388694
  assertClose([LOSSES.sigmoid.of(scores, PLAIN).value], [0.5981388694], { absolute: 1e-9 });
  assertClose([LOSSES.sigmoid.of(scores, smooth).value], [0.6481388694], { absolute: 1e-9 });
  assertClose([LOSSES.robust.of(scores, smooth).value], [0.4981388694], { absolute: 1e-9 });
  assertClose([LOSSES.ipo.of(scores, PLAIN).value], [9], { absolute: 1e-9 });
  assertClose([LOSSES.hinge.of(scores, PLAIN).value], [0.8], { absolute: 1e-9 });
  assert.equal(lossOfEquals({ lossType: "sigmoid", ...PLAIN }), Math.LN2);
  assert.equal(lossOfEquals({ lossType: "ipo", ...PLAIN }), 25);
});
