// This module is browser compatible.
import backwardCode from "../../shaders/logprob_backward.wgsl" with { type: "text" };
import forwardCode from "../../shaders/logprob_forward.wgsl" with { type: "text" };
import squaresCode from "../../shaders/logprob_squares.wgsl" with { type: "text" };
import confidenceCode from "../../shaders/sequence_confidence.wgsl" with { type: "text" };
import scoreCode from "../../shaders/sequence_score.wgsl" with { type: "text" };
import type { Commands } from "../gpu/commands.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectMultiple, expectShape, grid } from "./shapes.ts";
import { reducingThreads } from "./tuning.ts";

const params = { R: "u32", V: "u32", stride: "u32", first_row: "u32" } as const;

const forwardKernel: Kernel = {
  name: "logprob_forward",
  code: forwardCode,
  params,
  reads: ["logits", "row_scored", "scored"],
  writes: ["lse", "logprob"],
  reduces: "f32",
};
const backwardKernel: Kernel = {
  name: "logprob_backward",
  code: backwardCode,
  params,
  reads: ["lse", "row_scored", "scored", "dscore"],
  writes: ["logits"],
};
const scoreKernel: Kernel = {
  name: "sequence_score",
  code: scoreCode,
  params: { first: "u32", count: "u32" },
  reads: ["sequences", "scored", "logprob"],
  writes: ["scores"],
  reduces: "vec4<f32>",
};
const squaresKernel: Kernel = {
  name: "logprob_squares",
  code: squaresCode,
  params,
  reads: ["logits", "lse", "row_scored"],
  writes: ["squares"],
  reduces: "f32",
};
const confidenceKernel: Kernel = {
  name: "sequence_confidence",
  code: confidenceCode,
  params: { first: "u32", count: "u32" },
  reads: ["sequences", "logprob", "squares"],
  writes: ["scores"],
  reduces: "f32",
};

/** An entry of {@link ScoredTensors.rowScored} without a scored position. */
export const NO_POSITION = 0xffffffff;

/**
 * The scored positions of a batch on the GPU. A scored position is (row, target token, sequence, weight): the log-probability
 * of the target after the row counts with the weight in the sequence's score.
 */
export interface ScoredTensors {
  /** Up to two positions of each gathered row, {@link NO_POSITION} where there are fewer; u32 (R, 2). */
  rowScored: Tensor;
  /** Row, target, sequence, bits of the weight; sorted by sequence; u32 (S, 4). */
  scored: Tensor;
  /** First position, first position of the completion, end, slot in the scores; u32 (B, 4). */
  sequences: Tensor;
}

/**
 * Log-probabilities of scored tokens from a chunk of rows of logits, without keeping the softmax.
 *
 * @param lse Largest logit of each row, and the logarithm of the sum of exponentials without it, f32 (R, 2).
 * @param logprob f32 (S).
 * @param logits f32 (rows of the chunk, stride), its first V columns count; stride a multiple of 4.
 * @param firstRow The chunk's first row in the batch.
 * @throws {RangeError} If the shapes disagree.
 */
export function logprobForward(
  commands: Commands,
  lse: Tensor,
  logprob: Tensor,
  logits: Tensor,
  { rowScored, scored }: ScoredTensors,
  { V, firstRow }: { V: number; firstRow: number },
): void {
  const [R, stride] = logits.shape;
  expectMultiple("logprob_forward", "stride", stride, 4);
  expectShape("logprob_forward", "lse", lse, [rowScored.shape[0], 2]);
  expectShape("logprob_forward", "logprob", logprob, [scored.shape[0]]);
  commands.dispatch(forwardKernel, {
    variant: { overrides: { WORKGROUP: reducingThreads(commands.gpu, "logprob") } },
    params: { R, V, stride, first_row: firstRow },
    tensors: [logits, rowScored, scored, lse, logprob],
    workgroups: grid(R),
  });
}

/**
 * Turns a chunk of logits into the gradient of the loss with respect to them, in place.
 *
 * @param logits As in {@link logprobForward}; overwritten, its padding with 0.
 * @param dscore Derivative of the loss by each sequence's score, f32 (B).
 * @throws {RangeError} If the shapes disagree.
 */
export function logprobBackward(
  commands: Commands,
  logits: Tensor,
  lse: Tensor,
  dscore: Tensor,
  { rowScored, scored }: ScoredTensors,
  { V, firstRow }: { V: number; firstRow: number },
): void {
  const [R, stride] = logits.shape;
  expectMultiple("logprob_backward", "stride", stride, 4);
  expectShape("logprob_backward", "lse", lse, [rowScored.shape[0], 2]);
  commands.dispatch(backwardKernel, {
    variant: { overrides: { WORKGROUP: reducingThreads(commands.gpu, "logprob") } },
    params: { R, V, stride, first_row: firstRow },
    tensors: [lse, rowScored, scored, dscore, logits],
    workgroups: grid(R),
  });
}

/**
 * Sums log-probabilities per sequence: the weighted score, the completion's sum and the sum over all scored tokens.
 *
 * @param scores f32 (slots, 4): score, completion sum, total sum, 0.
 * @param first First of the `count` sequences to sum.
 * @throws {RangeError} If the shapes disagree.
 */
export function sequenceScore(
  commands: Commands,
  scores: Tensor,
  logprob: Tensor,
  { scored, sequences }: ScoredTensors,
  { first, count }: { first: number; count: number },
): void {
  expectShape("sequence_score", "logprob", logprob, [scored.shape[0]]);
  expectShape("sequence_score", "scores", scores, [scores.shape[0], 4]);
  commands.dispatch(scoreKernel, {
    variant: { overrides: { WORKGROUP: 64 } },
    params: { first, count },
    tensors: [sequences, scored, logprob, scores],
    workgroups: grid(count),
  });
}

/**
 * The logarithm of the sum of squared probabilities at each scored position of a chunk of rows.
 *
 * @param squares f32 (S).
 * @param logits As in {@link logprobForward}, which wrote `lse`.
 * @throws {RangeError} If the shapes disagree.
 */
export function logprobSquares(
  commands: Commands,
  squares: Tensor,
  logits: Tensor,
  lse: Tensor,
  { rowScored, scored }: ScoredTensors,
  { V, firstRow }: { V: number; firstRow: number },
): void {
  const [R, stride] = logits.shape;
  expectMultiple("logprob_squares", "stride", stride, 4);
  expectShape("logprob_squares", "lse", lse, [rowScored.shape[0], 2]);
  expectShape("logprob_squares", "squares", squares, [scored.shape[0]]);
  commands.dispatch(squaresKernel, {
    variant: { overrides: { WORKGROUP: reducingThreads(commands.gpu, "logprob") } },
    params: { R, V, stride, first_row: firstRow },
    tensors: [logits, lse, rowScored, squares],
    workgroups: grid(R),
  });
}

/**
 * How likely the policy finds completions: writes the fourth number of scores, of which WPO's weight is the exponential.
 *
 * @param scores f32 (slots, 4), behind {@link sequenceScore}.
 * @param squares f32 (S).
 * @param first First of the `count` sequences.
 * @throws {RangeError} If the shapes disagree.
 */
export function sequenceConfidence(
  commands: Commands,
  scores: Tensor,
  logprob: Tensor,
  squares: Tensor,
  { scored, sequences }: ScoredTensors,
  { first, count }: { first: number; count: number },
): void {
  expectShape("sequence_confidence", "logprob", logprob, [scored.shape[0]]);
  expectShape("sequence_confidence", "squares", squares, [scored.shape[0]]);
  expectShape("sequence_confidence", "scores", scores, [scores.shape[0], 4]);
  commands.dispatch(confidenceKernel, {
    variant: { overrides: { WORKGROUP: 64 } },
    params: { first, count },
    tensors: [sequences, logprob, squares, scores],
    workgroups: grid(count),
  });
}
