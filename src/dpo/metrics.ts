// This module is browser compatible.
import type { PreferencePair } from "../data/pairs.ts";
import { PAIR_METRICS, type PairMetric } from "../kernels/dpo_loss.ts";

const WIDTH = PAIR_METRICS.length;

/** Metrics of a step or an evaluation. */
export interface Metrics {
  /**
   * @param metrics PAIR_METRICS of each pair of a micro-batch, (P, 8).
   * @param pairs The same ones.
   */
  add(metrics: ArrayLike<number>, pairs: readonly PreferencePair[]): void;
  /** The means so far; a tie is neither right nor wrong. */
  summary(tieValue: 0 | 0.5): Record<string, number> & { loss: number };
}

/** TRL's metrics of preference pairs, as exact means over the pairs (not means of batch means). */
export class PairMetrics implements Metrics {
  #sums = new Float64Array(WIDTH);
  #right = 0;
  #ties = 0;
  count = 0;

  /** @param metrics PAIR_METRICS of each pair, (P, 8). */
  add(metrics: ArrayLike<number>): void {
    for (let row = 0; row < metrics.length; row += WIDTH) {
      for (let column = 0; column < WIDTH; column++) this.#sums[column] += metrics[row + column];
      const delta = metrics[row + PAIR_METRICS.indexOf("delta")];
      if (delta > 0) this.#right++;
      if (delta === 0) this.#ties++;
      this.count++;
    }
  }

  /**
   * The means so far.
   *
   * @param tieValue What a pair counts that is neither right nor wrong. Training uses TRL's 0. An evaluation uses 1/2: before the
   * first step every pair is a tie, and the accuracy of a coin says more than 0 %.
   */
  summary(tieValue: 0 | 0.5): Record<string, number> & { loss: number } {
    const mean = (name: PairMetric) => this.#sums[PAIR_METRICS.indexOf(name)] / this.count;
    return {
      loss: mean("loss"),
      "rewards/chosen": mean("reward_chosen"),
      "rewards/rejected": mean("reward_rejected"),
      "rewards/accuracies": (this.#right + tieValue * this.#ties) / this.count,
      "rewards/margins": mean("reward_chosen") - mean("reward_rejected"),
      "logps/chosen": mean("logp_chosen"),
      "logps/rejected": mean("logp_rejected"),
    };
  }
}

/** What an evaluation knows of a pair. */
type Measured = Record<"loss" | "reward_chosen" | "reward_rejected" | "delta", number>;

/** A right pair counts 1, a tie a half. */
const rightness = ({ delta }: Pick<Measured, "delta">) => delta > 0 ? 1 : delta === 0 ? 0.5 : 0;

const meanOf = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Half the width of the 95 % interval of a mean: 1.96 standard errors; NaN of fewer than two values. */
export function halfWidth(values: readonly number[]): number {
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return 1.96 * Math.sqrt(squares / (values.length - 1) / values.length);
}

/** The same of a share, by Wilson's score interval (1927): that of 8 of 8 has a width, too. */
export function halfWidthOfShare(values: readonly number[]): number {
  const [n, p, z] = [values.length, meanOf(values), 1.96];
  return z / (1 + z ** 2 / n) * Math.sqrt(p * (1 - p) / n + z ** 2 / (4 * n ** 2));
}

/** Half widths of the 95 % intervals of an evaluation's first measures; none of a single pair. */
export function intervals(rows: readonly Measured[]): Record<string, number> {
  if (rows.length < 2) return {};
  return {
    loss_ci95: halfWidth(rows.map(({ loss }) => loss)),
    "rewards/accuracies_ci95": halfWidthOfShare(rows.map(rightness)),
    "rewards/margins_ci95": halfWidth(
      rows.map(({ reward_chosen, reward_rejected }) => reward_chosen - reward_rejected),
    ),
  };
}

/**
 * Whether length alone tells the answers apart, and how rewards do where it helps and where it misleads.
 *
 * @param rows Of the same pairs, in order.
 */
export function byLength(
  pairs: readonly PreferencePair[],
  rows: readonly Pick<Measured, "delta">[],
): Record<string, number> {
  const lengthOf = ({ ids, promptLength }: PreferencePair["chosen"]) => ids.length - promptLength;
  const gains = pairs.map(({ chosen, rejected }) => lengthOf(chosen) - lengthOf(rejected));
  const among = (name: string, isMember: (gain: number) => boolean) => {
    const members = rows.filter((_, i) => isMember(gains[i]));
    return members.length === 0 ? {} : { [name]: meanOf(members.map(rightness)) };
  };
  return {
    "length/accuracies": meanOf(gains.map((delta) => rightness({ delta }))),
    ...among("rewards/accuracies_longer", (gain) => gain > 0),
    ...among("rewards/accuracies_shorter", (gain) => gain < 0),
  };
}
