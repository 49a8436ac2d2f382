// This module is browser compatible.
import { PAIR_METRICS, type PairMetric } from "../kernels/dpo_loss.ts";

const WIDTH = PAIR_METRICS.length;

/** TRL's metrics of preference pairs, as exact means over the pairs (not means of batch means). */
export class PairMetrics {
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
