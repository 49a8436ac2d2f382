// This module is browser compatible.
import { ACROSS_PAIRS } from "./across_pairs.ts";
import type { Loss, LossOption, LossOptions, PairLoss, PairScores } from "./loss.ts";
import { OF_MARGIN } from "./of_margin.ts";
import { OF_SIDES } from "./of_sides.ts";

const TABLE = { ...OF_MARGIN, ...OF_SIDES, ...ACROSS_PAIRS };

export type LossType = keyof typeof TABLE;

/**
 * The preference losses under TRL's names. A new one is a row of one of the tables: the choices of `--loss-type`, kernel,
 * evaluation and refusals follow from it.
 */
export const LOSSES: Readonly<Record<LossType, Loss>> = TABLE;
export const LOSS_TYPES = Object.keys(LOSSES) as readonly LossType[];

/** A loss with its options, as the resolved options of `train` and `eval` have them. */
export interface ChosenLoss extends LossOptions {
  lossType: LossType;
}

/** The losses of pairs that are computed together, in double precision. */
export function pairLosses(loss: ChosenLoss, pairs: readonly PairScores[]): PairLoss[] {
  const row = LOSSES[loss.lossType];
  return row.of ? pairs.map((pair) => row.of(pair, loss)) : row.ofAll(pairs, loss);
}

/** A pair's loss while policy and reference are the same. */
export function lossOfEquals(loss: ChosenLoss): number {
  const equal = { chosen: 0, rejected: 0, referenceChosen: 0, referenceRejected: 0 };
  return pairLosses(loss, [equal])[0].value;
}

/** The losses that read an option, in words: `sigmoid or robust`. */
export function readersOf(option: Exclude<LossOption, "beta">): string {
  const names = LOSS_TYPES.filter((type) => LOSSES[type].reads.includes(option));
  return new Intl.ListFormat("en", { type: "disjunction" }).format(names);
}
