import assert from "node:assert/strict";
import { LOSS_TYPES, LOSSES } from "../../src/dpo/losses.ts";
import { dpoLoss } from "../../src/kernels/dpo_loss.ts";
import { STATE_WORDS } from "../../src/kernels/state.ts";
import { assertClose, output, read, run, upload, values } from "./harness.ts";

const P = 67; // just over one workgroup
const lossScale = 8;

for (const [loss, name] of LOSS_TYPES.entries()) {
  Deno.test(`dpo_loss equals the reference in double precision: ${name}`, async () => {
    const scores = values(1, 8 * P, "f32", 60);
    const reference = values(2, 8 * P, "f32", 60);
    // z of 200 either way: exp(z) overflows from 88 on.
    scores.set([1000, 0, 0, 0, -1000], 0);
    scores.set([-1000, 0, 0, 0, 1000], 8 * (P - 1));
    const options = { beta: 0.1, labelSmoothing: 0.2 };
    const state = upload(Float32Array.of(lossScale, ...new Array(STATE_WORDS - 1).fill(0)), [
      STATE_WORDS,
    ]);
    const dscore = output([2 * P]);
    const metrics = output([P, 8]);
    run((commands) => {
      for (const [first, count] of [[0, 64], [64, P - 64]]) {
        dpoLoss(
          commands,
          dscore,
          metrics,
          upload(scores, [2 * P, 4]),
          upload(reference, [2 * P, 4]),
          state,
          { loss, ...options, gradientScale: 1 / P, first, count },
        );
      }
    });
    const expectedSlopes: number[] = [];
    const expectedMetrics: number[] = [];
    for (let pair = 0; pair < P; pair++) {
      const chosen = scores[8 * pair];
      const rejected = scores[8 * pair + 4];
      const referenceChosen = reference[8 * pair];
      const referenceRejected = reference[8 * pair + 4];
      const of = { chosen, rejected, referenceChosen, referenceRejected };
      const { value, dchosen, drejected } = LOSSES[name](of, options);
      expectedSlopes.push(dchosen * lossScale / P, drejected * lossScale / P);
      // TRL's rewards of ipo are sums, the third numbers.
      const column = name === "ipo" ? 2 : 0;
      const gains = [0, 4].map((side) =>
        scores[8 * pair + side + column] - reference[8 * pair + side + column]
      );
      expectedMetrics.push(
        value,
        options.beta * gains[0],
        options.beta * gains[1],
        scores[8 * pair + 1],
        scores[8 * pair + 5],
        gains[0] - gains[1],
        chosen,
        rejected,
      );
    }
    // delta is a difference of numbers up to 60, of two pairs 1,000; sigmoid and exp are good to a few units of its rounding.
    assertClose(await read(dscore), expectedSlopes, {
      absolute: 1e-6,
      relative: 1e-5,
      name: "dscore",
    });
    assertClose(await read(metrics), expectedMetrics, {
      absolute: 3e-5,
      relative: 2e-6,
      name: "metrics",
    });
  });
}

Deno.test("the derivatives of the losses are those of their values", () => {
  for (const name of LOSS_TYPES) {
    const options = { beta: 0.3, labelSmoothing: 0.1 };
    const scores = { chosen: -3.1, rejected: -2.4, referenceChosen: -3, referenceRejected: -2.9 };
    const value = (change: Partial<typeof scores>) =>
      LOSSES[name]({ ...scores, ...change }, options).value;
    const h = 1e-5;
    const { dchosen, drejected } = LOSSES[name](scores, options);
    const byChosen = (value({ chosen: -3.1 + h }) - value({ chosen: -3.1 - h })) / (2 * h);
    const byRejected = (value({ rejected: -2.4 + h }) - value({ rejected: -2.4 - h })) / (2 * h);
    assertClose([dchosen, drejected], [byChosen, byRejected], { absolute: 1e-8, name });
  }
});

Deno.test("losses worked out by hand: beta 0.1, delta 2", () => {
  const scores = { chosen: -10, rejected: -13, referenceChosen: -11, referenceRejected: -12 };
  const plain = { beta: 0.1, labelSmoothing: 0 };
  const smooth = { beta: 0.1, labelSmoothing: 0.25 };
  // log(1 + e^-0.2) = 0.5981388694, log(1 + e^0.2) = 0.7981388694
  assertClose([LOSSES.sigmoid(scores, plain).value], [0.5981388694], { absolute: 1e-9 });
  assertClose([LOSSES.sigmoid(scores, smooth).value], [0.6481388694], { absolute: 1e-9 });
  assertClose([LOSSES.robust(scores, smooth).value], [0.4981388694], { absolute: 1e-9 });
  assertClose([LOSSES.ipo(scores, plain).value], [9], { absolute: 1e-9 });
  assertClose([LOSSES.hinge(scores, plain).value], [0.8], { absolute: 1e-9 });
  const equal = { chosen: -5, rejected: -7, referenceChosen: -5, referenceRejected: -7 };
  assert.equal(LOSSES.sigmoid(equal, plain).value, Math.log(2));
});
