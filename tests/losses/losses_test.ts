import assert from "node:assert/strict";
import { resolveOptions } from "../../src/config/resolve.ts";
import {
  type Divergence,
  DIVERGENCE_TYPES,
  DIVERGENCES,
  type DivergenceType,
} from "../../src/losses/divergences.ts";
import type { PairScores } from "../../src/losses/loss.ts";
import {
  isOfMargin,
  LOSS_TYPES,
  LOSSES,
  lossInWords,
  lossOfEquals,
  type LossType,
  type Objective,
  pairLosses,
  takesMargins,
  takesWeights,
} from "../../src/losses/losses.ts";
import { assertClose } from "../kernels/harness.ts";

/** The defaults: beta 0.1. */
const PLAIN: Objective = resolveOptions("eval").options;
const SMOOTH: Objective = { ...PLAIN, labelSmoothing: 0.25 };

/** Of a chosen answer, in the mean. */
const TOKENS = 5;

Deno.test("the derivatives of the losses are those of their values", () => {
  const options = { ...PLAIN, beta: 0.3, labelSmoothing: 0.1, discopopTau: 0.5 };
  const pairs: PairScores[] = [
    { chosen: -3.1, rejected: -2.4, referenceChosen: -3, referenceRejected: -2.9 },
    { chosen: -1.2, rejected: -4.1, referenceChosen: -2.2, referenceRejected: -3.3 },
    { chosen: -6.3, rejected: -5.2, referenceChosen: -4.4, referenceRejected: -5.8 },
  ].map((pair, i) => ({ ...pair, label: i !== 1 }));
  const h = 1e-5;
  for (const lossType of LOSS_TYPES) {
    const loss = { ...options, lossType };
    const byDifference = (i: number, side: "chosen" | "rejected") => {
      const sum = (change: number) =>
        pairLosses(loss, pairs.with(i, { ...pairs[i], [side]: pairs[i][side] + change }), TOKENS)
          .reduce((sum, { value }) => sum + value, 0);
      return (sum(h) - sum(-h)) / (2 * h);
    };
    for (const [i, { dchosen, drejected }] of pairLosses(loss, pairs, TOKENS).entries()) {
      // Through the estimate of the divergence no gradient goes.
      const isDetached = LOSSES[lossType].answers !== undefined;
      const expected = [byDifference(i, "chosen"), isDetached ? 0 : byDifference(i, "rejected")];
      assertClose([dchosen, drejected], expected, { absolute: 1e-8, name: lossType });
    }
  }
});

Deno.test("losses of what a divergence makes of gains: derivatives are those of the values", () => {
  const pair = { chosen: -3.1, rejected: -2.4, referenceChosen: -4, referenceRejected: -2.9 };
  const h = 1e-5;
  for (const fDivergenceType of DIVERGENCE_TYPES) {
    for (const lossType of LOSS_TYPES.filter(isOfMargin)) {
      const objective = { ...SMOOTH, lossType, fDivergenceType, fAlphaDivergenceCoef: 0.3 };
      const at = (change: Partial<PairScores>) =>
        pairLosses(objective, [{ ...pair, ...change }], TOKENS)[0];
      const { dchosen, drejected } = at({});
      const byChosen = at({ chosen: -3.1 + h }).value - at({ chosen: -3.1 - h }).value;
      const byRejected = at({ rejected: -2.4 + h }).value - at({ rejected: -2.4 - h }).value;
      assertClose([dchosen, drejected], [byChosen / (2 * h), byRejected / (2 * h)], {
        absolute: 1e-8,
        name: `${lossType} of ${fDivergenceType}`,
      });
    }
  }
});

Deno.test("divergences worked out by hand, and where gains are extreme", () => {
  // Of gains of 1 and -1.
  const expected: Record<DivergenceType, [number, number]> = {
    reverse_kl: [1, -1],
    forward_kl: [1 - Math.exp(-1), 1 - Math.E],
    js_divergence: [0.3798854930, -0.6201145070], // ln 2 - log(1 + e^-1), ln 2 - log(1 + e)
    alpha_divergence: [(1 - Math.exp(-0.5)) / 0.5, (1 - Math.exp(0.5)) / 0.5],
  };
  for (const type of DIVERGENCE_TYPES) {
    const divergence: Divergence = DIVERGENCES[type];
    const of = (gain: number) => divergence.of(gain, 0.5);
    assertClose([of(1).value, of(-1).value], expected[type], { absolute: 1e-9, name: type });
    const atZero = { absolute: 1e-15, name: `${type} of 0` };
    assertClose(Object.values(of(0)), [0, type === "js_divergence" ? 0.5 : 1], atZero);
    for (const gain of [-1e4, -200, 200, 1e4]) {
      assert.ok(Object.values(of(gain)).every(Number.isFinite), `${type} of ${gain}`);
    }
  }
  assert.deepEqual(DIVERGENCES.alpha_divergence.of(-3, 1), { value: -3, slope: 1 });
});

Deno.test("no loss is infinite or NaN where a margin is extreme", () => {
  for (const lossType of LOSS_TYPES) {
    const pairs = [-1e4, -200, 0, 200, 1e4].flatMap((z) =>
      [[10 * z, 0], [0, -10 * z], [5 * z, -5 * z]].map(([chosen, rejected]) => (
        { chosen, rejected, referenceChosen: 0, referenceRejected: 0 }
      ))
    );
    for (const options of LOSSES[lossType].positive ? [SMOOTH] : [PLAIN, SMOOTH]) {
      for (const [i, loss] of pairLosses({ ...options, lossType }, pairs, TOKENS).entries()) {
        assert.ok(Object.values(loss).every(Number.isFinite), `${lossType} of pair ${i}`);
      }
    }
  }
});

/** Gains of 1 and -1. */
const PAIR = { chosen: -10, rejected: -13, referenceChosen: -11, referenceRejected: -12 };

/** Losses of that pair, worked out by hand: beta 0.1, delta 2. */
const BY_HAND: [LossType, Objective, number][] = [
  // log(1 + e^-0.2) = 0.5981388694, log(1 + e^0.2) = 0.7981388694
  ["sigmoid", PLAIN, 0.5981388694],
  ["sigmoid", SMOOTH, 0.6481388694],
  ["robust", SMOOTH, 0.4981388694],
  ["ipo", PLAIN, 9],
  ["hinge", PLAIN, 0.8],
  ["sigmoid_norm", PLAIN, 0.5981388694],
  // s = 1 / (1 + e^-0.2) = 0.5498339973: s log(s / 0.75) + (1 - s) log((1 - s) / 0.25)
  ["exo_pair", SMOOTH, 0.0940679050],
  // With z = 0.2, m = 1 / (1 + e^(-z / 0.05)) = 0.9820137900: (1 - m) 0.5981388694 + m e^-z
  ["discopop", PLAIN, 0.8147631411],
  // log(1 + e^-0.1) = 0.6443966600, log(1 + e^0.1) = 0.7443966600: first, and half the second and the first
  ["nca_pair", PLAIN, 1.33879332],
  ["bco_pair", PLAIN, 1.28879332],
  // (1 - 5)^2 + (-1 + 5)^2
  ["sppo_hard", PLAIN, 32],
  // 1 / (1 + e^-0.1) = 0.5249791875: twice 1 - that
  ["apo_zero", PLAIN, 0.950041625],
  // that, and 1 - 0.5498339973
  ["apo_down", PLAIN, 0.9751451902],
  // As sigmoid, since the chosen answer gained
  ["dpop", PLAIN, 0.5981388694],
  // 10 nats over 5 tokens
  ["sft", PLAIN, 2],
  // 0.1 * 3 - 0.5 = -0.2
  ["simpo", PLAIN, 0.7981388694],
  // log(1 + e^-0.3) = 0.5543552445, and 10 nats over 5 tokens
  ["cpo", PLAIN, 2.5543552445],
  // Log-odds of -9.9999546 and -12.9999977: 10 + 0.1 log(1 + e^-3.0000431)
  ["orpo", PLAIN, 10.0048585306],
  // An answer that gained 1, less a divergence of 0, as the other one lost: 1 / (1 + e^0.1)
  ["kto", PLAIN, 0.4750208125],
  ["apo_zero_unpaired", PLAIN, 0.4750208125],
  // Of a single pair: its margin against the reference's, and its gains against each other, are delta.
  ["aot", SMOOTH, 0.6481388694],
  ["aot_unpaired", SMOOTH, 0.6481388694],
];

Deno.test("losses worked out by hand", () => {
  for (const [lossType, options, expected] of BY_HAND) {
    const [{ value }] = pairLosses({ ...options, lossType }, [PAIR], TOKENS);
    assertClose([value], [expected], { absolute: 1e-9, name: lossType });
  }
  const tested = new Set(BY_HAND.map(([lossType]) => lossType));
  assert.deepEqual(LOSS_TYPES.filter((type) => !tested.has(type)), []);
});

Deno.test("aot compares sorted numbers, whose pair they are does not matter", () => {
  const pairs: PairScores[] = [
    // Margins of the policy: 5, -1, 2; of the reference: 0, 3, -2. Sorted: -1 2 5 against -2 0 3.
    { chosen: 2, rejected: -3, referenceChosen: 1, referenceRejected: 1 },
    { chosen: -4, rejected: -3, referenceChosen: 0, referenceRejected: -3 },
    { chosen: -1, rejected: -3, referenceChosen: -1, referenceRejected: 1 },
  ];
  const at = (delta: number) =>
    pairLosses(SMOOTH, [{ ...pairs[0], chosen: delta - 3, referenceChosen: 1 }], TOKENS)[0];
  const values = (lossType: LossType) =>
    pairLosses({ ...SMOOTH, lossType }, pairs, TOKENS).map(({ value }) => value);
  assertClose(values("aot"), [2, 1, 2].map((delta) => at(delta).value), { absolute: 1e-12 });
  // Gains of chosen: 1, -4, 0; of rejected: -4, 0, -4. Sorted: -4 0 1 against -4 -4 0.
  const unpaired = pairLosses({ ...SMOOTH, lossType: "aot_unpaired" }, pairs, TOKENS);
  assertClose(unpaired.map(({ value }) => value), [1, 0, 4].map((delta) => at(delta).value), {
    absolute: 1e-12,
  });
  // Of equal numbers the first pair's is the smaller one.
  assertClose(unpaired.map(({ drejected }) => drejected), [0, 1, 4].map((d) => at(d).drejected), {
    absolute: 1e-12,
  });
});

Deno.test("dpop penalizes a chosen answer that lost", () => {
  const pair = { ...PAIR, chosen: -13, rejected: -16 }; // gains of -2 and -4
  const [{ value }] = pairLosses({ ...PLAIN, lossType: "dpop", dpopLambda: 3 }, [pair], TOKENS);
  // beta (2 - 3 * 2) = -0.4
  assertClose([value], [Math.log(1 + Math.exp(0.4))], { absolute: 1e-12 });
});

Deno.test("kto: good and bad answers, around an estimate that is never negative", () => {
  const objective = { ...PLAIN, lossType: "kto", desirableWeight: 3, undesirableWeight: 0.5 };
  const answer = (gain: number, mismatched: number, label: boolean): PairScores => ({
    ...{ chosen: gain - 7, referenceChosen: -7, rejected: mismatched - 9, referenceRejected: -9 },
    label,
  });
  const valuesOf = (...answers: PairScores[]) =>
    pairLosses(objective, answers, TOKENS).map(({ value }) => value);
  const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
  // The mean of 5, 1 and -3 is 1.
  assertClose(
    valuesOf(answer(2, 5, true), answer(4, 1, false), answer(-6, -3, false)),
    [3 * sigmoid(-0.1), 0.5 * sigmoid(0.3), 0.5 * sigmoid(-0.7)],
    { absolute: 1e-12 },
  );
  assertClose(valuesOf(answer(2, -5, true), answer(4, 1, false)), [
    3 * sigmoid(-0.2),
    0.5 * sigmoid(0.4),
  ], { absolute: 1e-12 });
});

Deno.test("several losses are a weighted sum", () => {
  const objective = { ...SMOOTH, lossType: "sigmoid,bco_pair,sft", lossWeights: [0.8, 0.2, 1] };
  const parts = objective.lossType.split(",").map((lossType, i) => {
    const [loss] = pairLosses({ ...SMOOTH, lossType }, [PAIR], TOKENS);
    return Object.values(loss).map((value) => objective.lossWeights[i] * value);
  });
  const expected = parts[0].map((_, column) => parts.reduce((sum, part) => sum + part[column], 0));
  const [found] = pairLosses(objective, [PAIR], TOKENS);
  assertClose(Object.values(found), expected, { absolute: 1e-12 });
  assert.equal(lossInWords(objective), "0.8 sigmoid + 0.2 bco_pair + sft");
  assert.equal(lossInWords({ ...objective, lossWeights: null }), "sigmoid + bco_pair + sft");
  assert.equal(lossInWords(PLAIN), "sigmoid");
  for (const lossType of ["toString", "sigmoid,", ""]) {
    assert.throws(() => lossInWords({ ...PLAIN, lossType }), /^RangeError: Expected a loss/);
  }
});

Deno.test("a pair's margin is what its margin must exceed, a weight what its loss is multiplied with", () => {
  const lossOf = (pair: PairScores, objective: Objective) =>
    pairLosses(objective, [pair], TOKENS)[0];
  // beta delta = 0.2, less 0.5: log(1 + e^0.3)
  const [asking, weighing] = [{ ...PAIR, margin: 0.5 }, { ...PAIR, weight: 2.5 }];
  assertClose([lossOf(asking, PLAIN).value], [Math.log(1 + Math.exp(0.3))], { absolute: 1e-12 });
  const h = 1e-5;
  for (const lossType of LOSS_TYPES.filter(isOfMargin)) {
    for (const fDivergenceType of DIVERGENCE_TYPES) {
      const objective = { ...SMOOTH, lossType, fDivergenceType };
      const at = (chosen: number) => lossOf({ ...asking, chosen }, objective).value;
      const slope = (at(PAIR.chosen + h) - at(PAIR.chosen - h)) / (2 * h);
      const name = `${lossType} of ${fDivergenceType}`;
      assertClose([lossOf(asking, objective).dchosen], [slope], { absolute: 1e-8, name });
      if (fDivergenceType !== "reverse_kl") continue;
      // As a pair whose policy prefers by so much less.
      const less = lossOf({ ...PAIR, chosen: PAIR.chosen - 0.5 / SMOOTH.beta }, objective);
      assertClose(Object.values(lossOf(asking, objective)), Object.values(less), {
        absolute: 1e-12,
        name,
      });
    }
  }
  for (const lossType of LOSS_TYPES) {
    const objective = { ...SMOOTH, lossType };
    const plain = Object.values(lossOf(PAIR, objective)).map((value) => 2.5 * value);
    assertClose(Object.values(lossOf(weighing, objective)), plain, {
      absolute: 1e-12,
      name: lossType,
    });
  }
  // Of a sum with sft the margin is that of the other loss alone.
  const sum = { ...PLAIN, lossType: "sigmoid,sft" };
  assertClose([lossOf(asking, sum).value], [lossOf(asking, PLAIN).value + 2], { absolute: 1e-12 });
  assert.deepEqual(
    ["sigmoid", "ipo,sft", "sft", "simpo", "sigmoid,apo_zero"].map((lossType) =>
      takesMargins({ lossType, lossWeights: null })
    ),
    [true, true, false, false, false],
  );
  assert.deepEqual(
    ["sigmoid,simpo", "aot", "sigmoid,aot_unpaired"].map((lossType) =>
      takesWeights({ lossType, lossWeights: null })
    ),
    [true, false, false],
  );
});

Deno.test("the loss while policy and reference are the same", () => {
  assert.equal(lossOfEquals({ ...PLAIN, lossType: "sigmoid" }), Math.LN2);
  assert.equal(lossOfEquals({ ...PLAIN, lossType: "aot" }), Math.LN2);
  assert.equal(lossOfEquals({ ...PLAIN, lossType: "ipo" }), 25);
  assert.equal(lossOfEquals({ ...PLAIN, lossType: "sigmoid,sft" }), null);
  assert.equal(lossOfEquals({ ...PLAIN, lossType: "kto" }), 0.5);
  assert.equal(lossOfEquals({ ...PLAIN, lossType: "kto", desirableWeight: 2 }), null);
});
