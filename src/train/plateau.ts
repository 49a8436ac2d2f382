// This module is browser compatible.

/** How the rate follows a measure; the names are those of PyTorch's `ReduceLROnPlateau`. */
export interface PlateauOptions {
  learningRate: number;
  /** What the rate is multiplied with. */
  lrFactor: number;
  /** Evaluations that may be no better than the best one before the rate falls. */
  lrPatience: number;
  /** By how much a better measure must be better. */
  lrThreshold: number;
  /** Whether the threshold is a share of the best measure, or a difference from it. */
  lrThresholdMode: "rel" | "abs";
  /** Evaluations after a fall that count for nothing. */
  lrCooldown: number;
  minLr: number;
  /** Whether larger measures are better. */
  greater: boolean;
}

/** What a plateau knows, for checkpoints. */
export interface PlateauState {
  rate: number;
  /** null before the first evaluation. */
  best: number | null;
  bad: number;
  cooldown: number;
}

/** Falls of the rate that are smaller than this are not made, as in PyTorch. */
const SMALLEST_FALL = 1e-8;

/** A learning rate that falls when a held-out measure no longer improves: PyTorch's `ReduceLROnPlateau`, number for number. */
export class Plateau {
  state: PlateauState;

  constructor(readonly options: PlateauOptions) {
    this.state = { rate: options.learningRate, best: null, bad: 0, cooldown: 0 };
  }

  /** Takes an evaluation into account. */
  observe(value: number): void {
    const { lrPatience, lrFactor, lrCooldown, minLr } = this.options;
    let { rate, best, bad, cooldown } = this.state;
    if (this.#isBetter(value, best)) [best, bad] = [value, 0];
    else bad++;
    if (cooldown > 0) [cooldown, bad] = [cooldown - 1, 0];
    if (bad > lrPatience) {
      const lower = Math.max(rate * lrFactor, minLr);
      if (rate - lower > SMALLEST_FALL) rate = lower;
      [cooldown, bad] = [lrCooldown, 0];
    }
    this.state = { rate, best, bad, cooldown };
  }

  #isBetter(value: number, best: number | null): boolean {
    const { lrThreshold, lrThresholdMode, greater } = this.options;
    if (best === null) return !Number.isNaN(value);
    const sign = greater ? 1 : -1;
    const limit = lrThresholdMode === "rel"
      ? best * (1 + sign * lrThreshold)
      : best + sign * lrThreshold;
    return greater ? value > limit : value < limit;
  }
}
