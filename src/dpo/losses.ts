// This module is browser compatible.

/** What a preference loss is computed from. Scores are sums or means of token log-probabilities. */
export interface PairScores {
  chosen: number;
  rejected: number;
  referenceChosen: number;
  referenceRejected: number;
}

/** A pair's loss and its derivatives with respect to the policy's two scores. */
export interface PairLoss {
  value: number;
  dchosen: number;
  drejected: number;
}

export interface LossOptions {
  beta: number;
  /** Probability that a label is wrong, 0 <= e < 1/2. */
  labelSmoothing: number;
}

const logSigmoid = (z: number) => Math.min(z, 0) - Math.log1p(Math.exp(-Math.abs(z)));
const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));

/** (chosen - rejected) of the policy over that of the reference, in nats. */
function delta(scores: PairScores): number {
  return (scores.chosen - scores.rejected) - (scores.referenceChosen - scores.referenceRejected);
}

function ofDelta(value: number, slope: number): PairLoss {
  return { value, dchosen: slope, drejected: -slope };
}

/**
 * The preference losses under TRL's names, in double precision: the reference for `shaders/dpo_loss.wgsl`, whose LOSS is the
 * index into this table.
 *
 * - `sigmoid`: DPO, Rafailov et al. 2023, arXiv:2305.18290, eq. 7; with label smoothing cDPO (Mitchell 2023).
 * - `robust`: Chowdhury et al. 2024, arXiv:2403.00409, eq. 12: unbiased under labels flipped with probability e.
 * - `ipo`: Azar et al. 2023, arXiv:2310.12036, eq. 17; of mean log-probs, as TRL has it (`--logprob mean`).
 * - `hinge`: Zhao et al. 2023, arXiv:2305.10425 (SLiC), on the DPO reward.
 */
export const LOSSES: Record<string, (scores: PairScores, options: LossOptions) => PairLoss> = {
  sigmoid(scores, { beta, labelSmoothing: e }) {
    const z = beta * delta(scores);
    return ofDelta(
      -(1 - e) * logSigmoid(z) - e * logSigmoid(-z),
      beta * (e * sigmoid(z) - (1 - e) * sigmoid(-z)),
    );
  },
  robust(scores, { beta, labelSmoothing: e }) {
    const z = beta * delta(scores);
    return ofDelta(
      (e * logSigmoid(-z) - (1 - e) * logSigmoid(z)) / (1 - 2 * e),
      -beta * (e * sigmoid(z) + (1 - e) * sigmoid(-z)) / (1 - 2 * e),
    );
  },
  ipo(scores, { beta }) {
    const distance = delta(scores) - 1 / (2 * beta);
    return ofDelta(distance ** 2, 2 * distance);
  },
  hinge(scores, { beta }) {
    const z = beta * delta(scores);
    return ofDelta(Math.max(0, 1 - z), z < 1 ? -beta : 0);
  },
};

/**
 * Which of the four numbers of sequence_score a loss makes its rewards of: its score; of `ipo` the sum of log-probabilities,
 * whatever its score is, as TRL has it.
 */
export const rewardColumn = (lossType: string): number => lossType === "ipo" ? 2 : 0;

/** Names of {@link LOSSES}; the position is the shader's LOSS. */
export const LOSS_TYPES: readonly string[] = Object.keys(LOSSES);
