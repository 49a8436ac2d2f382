// This module is browser compatible.
import { ACROSS_PAIRS } from "./across_pairs.ts";
import { type Divergence, DIVERGENCES, type DivergenceType } from "./divergences.ts";
import type { Loss, LossOption, LossOptions, PairLoss, PairScores } from "./loss.ts";
import { OF_ANSWERS } from "./of_answers.ts";
import { OF_MARGIN } from "./of_margin.ts";
import { OF_SCORES } from "./of_scores.ts";
import { OF_SIDES } from "./of_sides.ts";

const TABLE = { ...OF_MARGIN, ...OF_SIDES, ...ACROSS_PAIRS, ...OF_SCORES, ...OF_ANSWERS };

export type LossType = keyof typeof TABLE;

/**
 * The preference losses under TRL's names. A new one is a row of one of the tables: the choices of `--loss-type`, kernel,
 * evaluation and refusals follow from it.
 */
export const LOSSES: Readonly<Record<LossType, Loss>> = TABLE;
export const LOSS_TYPES = Object.keys(LOSSES) as readonly LossType[];

/** What is minimized: losses with their options, as the resolved options of `train` and `eval` have them. */
export interface Objective extends LossOptions {
  /** One of the table, or several with commas between them. */
  lossType: string;
  /** Of several ones; null: 1 each. */
  lossWeights: readonly number[] | null;
  /** What losses of the margin make of gains. */
  fDivergenceType: DivergenceType;
  fAlphaDivergenceCoef: number;
  /** WPO: pairs weigh by how likely the policy finds their answers. */
  useWeighting: boolean;
}

/** What says which losses are added up. */
export type ChosenLosses = Pick<Objective, "lossType" | "lossWeights">;

/** A loss of a weighted sum. */
export interface Term {
  type: LossType;
  loss: Loss;
  weight: number;
}

/**
 * The losses that are added up.
 *
 * @throws {RangeError} If the table has none of the name.
 */
export function termsOf({ lossType, lossWeights }: ChosenLosses): Term[] {
  return lossType.split(",").map((name, i) => {
    if (!Object.hasOwn(LOSSES, name)) throw new RangeError(`Expected a loss, found ${name}`);
    const type = name as LossType;
    return { type, loss: LOSSES[type], weight: lossWeights?.[i] ?? 1 };
  });
}

/** Whether a loss is one of the margin, of which other divergences than the reverse KL are known. */
export function isOfMargin(type: LossType): boolean {
  return Object.hasOwn(OF_MARGIN, type);
}

/** Whether pairs may ask for a margin of their own: of losses of the margin, beside which sft may stand. */
export function takesMargins(objective: ChosenLosses): boolean {
  const types = termsOf(objective).map(({ type }) => type);
  return types.some(isOfMargin) && types.every((type) => isOfMargin(type) || type === "sft");
}

/** What a loss of single answers needs of other ones; null of losses of pairs. */
export function answersOf(objective: ChosenLosses): Loss["answers"] | null {
  return termsOf(objective)[0].loss.answers ?? null;
}

/** Whether pairs may have weights. */
export function takesWeights(objective: ChosenLosses): boolean {
  return termsOf(objective).every(({ loss }) => !loss.sorts);
}

/** Whether it takes all pairs of a batch to know the loss of one. */
export function isAcrossPairs(objective: Objective): boolean {
  return termsOf(objective).some(({ loss }) => loss.ofAll);
}

/** Whether scores are compared with those of a reference. Without one, rewards are beta times the policy's scores. */
export function needsReference(objective: ChosenLosses): boolean {
  return termsOf(objective).some(({ loss }) => loss.reference !== false);
}

/**
 * The losses of pairs that are computed together, in double precision.
 *
 * @param chosenTokens See LossOfPair in loss.ts.
 */
export function pairLosses(
  objective: Objective,
  pairs: readonly PairScores[],
  chosenTokens: number,
): PairLoss[] {
  const terms = termsOf(objective).map(({ type, loss, weight }) => ({
    weight,
    losses: loss.of
      ? pairs.map((pair) =>
        isOfMargin(type)
          ? ofMargin(loss.of, pair, objective, chosenTokens)
          : loss.of(pair, objective, chosenTokens)
      )
      : loss.ofAll(pairs, objective),
  }));
  return pairs.map(({ weight: own = 1 }, i) => {
    const sum = (of: keyof PairLoss) =>
      own * terms.reduce((sum, { losses, weight }) => sum + weight * losses[i][of], 0);
    return { value: sum("value"), dchosen: sum("dchosen"), drejected: sum("drejected") };
  });
}

/** The loss of what a divergence makes of the gains, less the margin; the derivatives are those by the scores. */
function ofMargin(
  of: NonNullable<Loss["of"]>,
  pair: PairScores,
  objective: Objective,
  chosenTokens: number,
): PairLoss {
  const { fDivergenceType: type, fAlphaDivergenceCoef: alpha } = objective;
  const more = (pair.margin ?? 0) / objective.beta;
  if (type === "reverse_kl") {
    const { referenceChosen } = pair;
    return of({ ...pair, referenceChosen: referenceChosen + more }, objective, chosenTokens);
  }
  const divergence: Divergence = DIVERGENCES[type];
  const chosen = divergence.of(pair.chosen - pair.referenceChosen, alpha);
  const rejected = divergence.of(pair.rejected - pair.referenceRejected, alpha);
  const gains = {
    chosen: chosen.value - more,
    rejected: rejected.value,
    referenceChosen: 0,
    referenceRejected: 0,
  };
  const { value, dchosen, drejected } = of(gains, objective, chosenTokens);
  return { value, dchosen: dchosen * chosen.slope, drejected: drejected * rejected.slope };
}

/** A pair's loss while policy and reference are the same; null where it depends on the pair. */
export function lossOfEquals(objective: Objective): number | null {
  if (termsOf(objective).some(({ loss }) => loss.absolute)) return null;
  const equal = { chosen: 0, rejected: 0, referenceChosen: 0, referenceRejected: 0 };
  const [good, bad] = [true, false].map((label) =>
    pairLosses(objective, [{ ...equal, label }], 1)[0].value
  );
  return good === bad ? good : null;
}

/** The losses of an objective: `sigmoid`, or `sigmoid + 0.2 sft`. */
export function lossInWords(objective: ChosenLosses): string {
  return termsOf(objective)
    .map(({ type, weight }) => weight === 1 ? type : `${weight} ${type}`).join(" + ");
}

/** The losses that read an option, in words: `sigmoid or robust`. */
export function readersOf(option: Exclude<LossOption, "beta">): string {
  return anyOf(LOSS_TYPES.filter((type) => LOSSES[type].reads.includes(option)));
}

const anyOf = (names: readonly string[]) =>
  new Intl.ListFormat("en", { type: "disjunction" }).format(names);
