// This module is browser compatible.
import type { PreferencePair } from "../data/pairs.ts";
import { PAIR_METRICS, type PairMetric } from "../kernels/dpo_loss.ts";
import { halfWidth, halfWidthOfShare, type Metrics } from "./metrics.ts";

const WIDTH = PAIR_METRICS.length;

/** Sums over good answers, or over bad ones. */
interface Side {
  count: number;
  reward: number;
  logp: number;
}

/**
 * TRL's metrics of single answers, as means over answers: `rewards/chosen` of the good ones, `rewards/rejected` of the bad ones.
 * An answer is right if its reward is above that of the estimated divergence, or below it for a bad one.
 */
export class AnswerMetrics implements Metrics {
  #loss = 0;
  #divergence = 0;
  #batches = 0;
  readonly #good: Side = { count: 0, reward: 0, logp: 0 };
  readonly #bad: Side = { count: 0, reward: 0, logp: 0 };
  /** 1 of each answer that is right, a half of one that is neither. */
  readonly rightness: number[] = [];

  /** @param usesDivergence Whether the loss has one; otherwise it counts as 0. */
  constructor(readonly beta: number, readonly usesDivergence: boolean) {}

  /**
   * @param metrics PAIR_METRICS of each answer of a micro-batch, (P, 8).
   * @param answers The same ones.
   */
  add(metrics: ArrayLike<number>, answers: readonly PreferencePair[]): void {
    const at = (i: number, name: PairMetric) => metrics[i * WIDTH + PAIR_METRICS.indexOf(name)];
    const sum = answers.reduce((sum, _, i) => sum + at(i, "reward_rejected"), 0);
    const divergence = this.usesDivergence ? Math.max(0, sum / answers.length) : 0;
    this.#divergence += divergence / this.beta;
    this.#batches++;
    for (const [i, { label }] of answers.entries()) {
      const side = label === false ? this.#bad : this.#good;
      const reward = at(i, "reward_chosen");
      side.count++;
      side.reward += reward;
      side.logp += at(i, "logp_chosen");
      this.#loss += at(i, "loss");
      const distance = (label === false ? -1 : 1) * (reward - divergence);
      this.rightness.push(distance > 0 ? 1 : distance === 0 ? 0.5 : 0);
    }
  }

  summary(tieValue: 0 | 0.5): Record<string, number> & { loss: number } {
    const [good, bad] = [this.#good, this.#bad];
    const count = good.count + bad.count;
    const right = this.rightness.filter((value) => value === 1).length;
    const ties = this.rightness.filter((value) => value === 0.5).length;
    const sides = [["chosen", good], ["rejected", bad]] as const;
    return {
      loss: this.#loss / count,
      ...Object.fromEntries(
        sides.filter(([, { count }]) => count > 0).flatMap(([name, { count, reward, logp }]) => [
          [`rewards/${name}`, reward / count],
          [`logps/${name}`, logp / count],
        ]),
      ),
      "rewards/accuracies": (right + tieValue * ties) / count,
      ...good.count > 0 && bad.count > 0
        ? { "rewards/margins": good.reward / good.count - bad.reward / bad.count }
        : {},
      ...this.usesDivergence ? { kl: this.#divergence / this.#batches } : {},
    };
  }

  /** The summary of an evaluation, whose `kl` is one of answers that the model draws. */
  heldOut(): Record<string, number> {
    const { kl, ...summary } = this.summary(0.5);
    return kl === undefined ? summary : { ...summary, kl_mismatched: kl };
  }

  /** Half widths of 95 % intervals. @param losses Of the answers. */
  intervals(losses: readonly number[]): Record<string, number> {
    if (losses.length < 2) return {};
    return {
      loss_ci95: halfWidth(losses),
      "rewards/accuracies_ci95": halfWidthOfShare(this.rightness),
    };
  }
}
