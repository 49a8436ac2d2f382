import assert from "node:assert/strict";
import { Plateau, type PlateauOptions } from "../../src/train/plateau.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";

/** Held-out losses of a run that learns, stays, learns a little, and becomes worse. */
const LOSSES = [
  ...[0.6931, 0.6502, 0.6104, 0.5903, 0.5899, 0.5901, 0.5906, 0.59, 0.5897, 0.5512, 0.5508, 0.5509],
  ...[0.5507, 0.5506, 0.5609, 0.5701, 0.57, 0.5802, 0.5903, 0.6004, 0.55, 0.6, 0.61, 0.62],
];
const USUAL: PlateauOptions = {
  learningRate: 1e-3,
  lrFactor: 0.1,
  lrPatience: 2,
  lrThreshold: 1e-4,
  lrThresholdMode: "rel",
  lrCooldown: 0,
  minLr: 0,
  greater: false,
};
const CASES: PlateauOptions[] = [
  USUAL,
  { ...USUAL, lrPatience: 10 },
  { ...USUAL, lrPatience: 1, lrFactor: 0.5, lrCooldown: 2, lrThreshold: 0.01 },
  {
    ...USUAL,
    lrPatience: 0,
    lrFactor: 0.3,
    minLr: 1e-5,
    lrThreshold: 0.002,
    lrThresholdMode: "abs",
  },
  { ...USUAL, lrPatience: 0, lrThreshold: 0 }, // until falls are too small to be made
];
const cases = CASES.flatMap((options) => [
  { ...options, values: LOSSES },
  { ...options, greater: true, values: LOSSES.map((loss) => 1 - loss) },
  { ...options, greater: true, values: LOSSES.map((loss) => -loss) },
]);

function rates({ values, ...options }: typeof cases[number]): number[] {
  const plateau = new Plateau(options);
  return values.map((value) => {
    plateau.observe(value);
    return plateau.state.rate;
  });
}

/** The definition, from the whole history anew for each evaluation: no state that could be kept wrongly. */
function expected({ values, ...options }: typeof cases[number]): number[] {
  const { greater, lrThreshold: t, lrThresholdMode: mode } = options;
  let [rate, since, quietUntil] = [options.learningRate, -1, -1];
  return values.map((_, now) => {
    // The last evaluation that beat all of those that counted as the best before it.
    let [best, at] = [greater ? -Infinity : Infinity, -1];
    for (const [i, value] of values.slice(0, now + 1).entries()) {
      const limit = mode === "abs"
        ? (greater ? best + t : best - t)
        : (greater ? best * (1 + t) : best * (1 - t));
      if (greater ? value > limit : value < limit) [best, at] = [value, i];
    }
    const bad = now - Math.max(at, since, quietUntil);
    if (bad > options.lrPatience) {
      const lower = Math.max(rate * options.lrFactor, options.minLr);
      if (rate - lower > 1e-8) rate = lower;
      since = now;
      quietUntil = now + options.lrCooldown;
    }
    return rate;
  });
}

Deno.test("the rate falls where the measure does not improve", () => {
  const found = rates(cases[0]);
  // The best is 0.5903: 0.5899 is better by a share of 7e-4, the next three are not.
  assert.deepEqual(found.slice(0, 7), new Array(7).fill(1e-3));
  assert.deepEqual(found.slice(7, 9), new Array(2).fill(1e-3 * 0.1));
  for (const [i, each] of cases.entries()) assert.deepEqual(rates(each), expected(each), `${i}`);
});

Deno.test("a plateau goes on from its state as JSON has it", () => {
  for (const { values, ...options } of cases) {
    const whole = new Plateau(options);
    let parts = new Plateau(options);
    for (const value of values) {
      whole.observe(value);
      const state = JSON.parse(JSON.stringify(parts.state));
      parts = new Plateau(options);
      parts.state = state;
      parts.observe(value);
      assert.deepEqual(parts.state, whole.state);
    }
  }
});

const lack = await lackOfPython("torch");
Deno.test(unless(lack, "the rates are those of PyTorch's ReduceLROnPlateau"), async () => {
  const script = new URL("plateau_peer.py", import.meta.url);
  assert.deepEqual(cases.map(rates), await askPython<number[][]>(script, cases));
});
