import { resolveOptions } from "../../src/config/resolve.ts";
import {
  dpoLoss,
  PAIR_METRICS,
  PAIR_TERMS,
  pairTerms,
  rewardColumn,
} from "../../src/kernels/dpo_loss.ts";
import { STATE_WORDS } from "../../src/kernels/state.ts";
import { DIVERGENCE_TYPES } from "../../src/losses/divergences.ts";
import {
  isAcrossPairs,
  LOSS_TYPES,
  LOSSES,
  type LossType,
  type Objective,
  pairLosses,
} from "../../src/losses/losses.ts";
import { assertClose, output, read, run, upload, values } from "./harness.ts";

const P = 67; // just over one workgroup
const lossScale = 8;
const chosenTokens = 7.5;
const OPTIONS = { ...resolveOptions("eval").options, labelSmoothing: 0.2, desirableWeight: 1.5 };

/** The four numbers of sequence_score for each side of each pair: scores up to `most`, of some pairs far beyond. */
function scoresOf(
  seed: number,
  most: number,
  extremes: readonly (readonly [chosen: number, rejected: number])[],
) {
  const scores = values(seed, 8 * P, "f32", most);
  for (let i = 3; i < scores.length; i += 4) scores[i] /= 20; // a confidence is a mean
  for (const [i, [chosen, rejected]] of extremes.entries()) {
    // The first and the last pairs in turn.
    const pair = i % 2 === 0 ? i / 2 : P - (i + 1) / 2;
    scores.set([chosen, 0, 0, 0, rejected], 8 * pair);
  }
  return scores;
}

/** Gains beyond the largest exponential of a divergence. */
const FAR = [[1000, 0], [-1000, 0], [0, 1000], [0, -1000]] as const;

/** Every loss, weighted sums of some, and every divergence. */
const OBJECTIVES: Partial<Objective>[] = [
  ...LOSS_TYPES.map((lossType) => ({ lossType })),
  { lossType: "sigmoid,aot,sft", lossWeights: [0.75, 1, 1e-3] },
  ...DIVERGENCE_TYPES.filter((type) => type !== "reverse_kl").map((fDivergenceType) => ({
    lossType: "sigmoid,ipo,sft",
    lossWeights: [1, 1e-3, 0.5],
    fDivergenceType,
  })),
  // Of the same numbers the other way round, so that one of both has an estimate below 0.
  { lossType: "kto", undesirableWeight: 2 },
  { lossType: "sigmoid,simpo", lossWeights: [1, 0.5], useWeighting: true },
];

for (const differing of OBJECTIVES) {
  const objective: Objective = { ...OPTIONS, ...differing };
  const name = Object.values(differing).join(" ");
  const isDiverged = objective.fDivergenceType !== "reverse_kl";
  Deno.test(`dpo_loss equals the reference in double precision: ${name}`, async () => {
    // beta * delta of 200 and of 1e4 either way, from both sides and from one: exp overflows from 88 on.
    const policy = scoresOf(
      1,
      isDiverged ? 3 : 60,
      isDiverged ? FAR : [
        ...[[1000, -1000], [-1000, 1000], [5e4, -5e4], [-5e4, 5e4]] as const,
        ...[[1e5, 0], [0, 1e5], [-1e5, 0], [0, -1e5]] as const,
      ],
    );
    const other = scoresOf(2, isDiverged ? 3 : 60, new Array(8).fill([0, 0]));
    const isTurned = objective.undesirableWeight !== OPTIONS.undesirableWeight;
    const [scores, reference] = isTurned ? [other, policy] : [policy, other];
    const state = upload(Float32Array.of(lossScale, ...new Array(STATE_WORDS - 1).fill(0)), [
      STATE_WORDS,
    ]);
    // Most pairs have neither margin nor weight.
    const terms = Array.from({ length: P }, (_, pair) => ({
      ...pair % 5 === 3 ? { margin: Math.fround(0.1 * (pair % 7) - 0.2) } : {},
      ...LOSSES[objective.lossType as LossType]?.answers ? { label: pair % 3 !== 0 } : {},
      ...pair % 4 === 1 ? { weight: 0.25 * (pair % 9) } : {},
    }));
    const dscore = output([2 * P]);
    const metrics = output([P, PAIR_METRICS.length]);
    run((commands) => {
      const parts = isAcrossPairs(objective) ? [[0, P]] : [[0, 64], [64, P - 64]];
      for (const [first, count] of parts) {
        dpoLoss(
          commands,
          dscore,
          metrics,
          upload(scores, [2 * P, 4]),
          upload(reference, [2 * P, 4]),
          upload(pairTerms(terms), [P, PAIR_TERMS.length]),
          state,
          { objective, gradientScale: 1 / P, chosenTokens, first, count },
        );
      }
    });
    const pairs = Array.from({ length: P }, (_, pair) => ({
      chosen: scores[8 * pair],
      rejected: scores[8 * pair + 4],
      referenceChosen: reference[8 * pair],
      referenceRejected: reference[8 * pair + 4],
      margin: terms[pair].margin,
      label: terms[pair].label,
      weight: (terms[pair].weight ?? 1) *
        (objective.useWeighting ? Math.exp(scores[8 * pair + 3] + scores[8 * pair + 7]) : 1),
    }));
    const losses = pairLosses(objective, pairs, chosenTokens);
    const expectedSlopes: number[] = [];
    const expectedMetrics: number[] = [];
    for (let pair = 0; pair < P; pair++) {
      const { value, dchosen, drejected } = losses[pair];
      expectedSlopes.push(dchosen * lossScale / P, drejected * lossScale / P);
      const column = rewardColumn(objective);
      const gains = [0, 4].map((side) =>
        scores[8 * pair + side + column] - reference[8 * pair + side + column]
      );
      expectedMetrics.push(
        value,
        OPTIONS.beta * gains[0],
        OPTIONS.beta * gains[1],
        scores[8 * pair + 1],
        scores[8 * pair + 5],
        gains[0] - gains[1],
        pairs[pair].chosen,
        pairs[pair].rejected,
      );
    }
    // delta is a difference of numbers up to 60, of a few pairs up to 1e5; sigmoid and exp are good to a few units of its rounding.
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
