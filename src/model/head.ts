// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { mostTensorBytes, rowsFrom, type Tensor, view, writeTensor } from "../gpu/tensor.ts";
import { embeddingBackward, embeddingForward } from "../kernels/embedding.ts";
import {
  logprobBackward,
  logprobForward,
  logprobSquares,
  sequenceConfidence,
  sequenceScore,
} from "../kernels/logprob.ts";
import { paddedColumns, sumParts } from "../kernels/matmul.ts";
import { tuned } from "../kernels/tuning.ts";
import type { GpuBatch, HeadGroup } from "./batch.ts";
import type { Runtime } from "./forward.ts";
import { type Linear, linearOf } from "./linear.ts";
import { type Norm, normOf } from "./norm.ts";
import type { Weights } from "./weights.ts";

/** More rows than this gain nothing and cost scratch memory where the vocabulary is small. */
const MOST_ROWS = 2048;
const ROW_ALIGNMENT = 64;

/** Rows of the head that are computed at a time, a multiple of 64; the logits of a whole batch never exist. */
export function headChunkRows(gpu: Gpu, vocabSize: number): number {
  const logitsBytes = Math.min(tuned(gpu, "logitsBytes"), mostTensorBytes(gpu));
  const rows = Math.min(MOST_ROWS, Math.floor(logitsBytes / 4 / paddedColumns(vocabSize)));
  return Math.max(ROW_ALIGNMENT, Math.floor(rows / ROW_ALIGNMENT) * ROW_ALIGNMENT);
}

/** The log-probabilities of a batch: per row and per scored position. */
export interface HeadState {
  lse: Tensor;
  logprob: Tensor;
  /** Where the batch asks for confidence. */
  squares?: Tensor;
}

export function headState({ workspace }: Runtime, batch: GpuBatch): HeadState {
  return {
    lse: workspace.get("head lse", "f32", [batch.rowScored.shape[0], 2]),
    logprob: workspace.get("head logprob", "f32", [batch.scored.shape[0]]),
    ...batch.confidence
      ? { squares: workspace.get("head squares", "f32", [batch.scored.shape[0]]) }
      : {},
  };
}

/** What the head is made of. Its matrix is the embedding where the model is tied. */
export interface Head {
  norm: Norm;
  linear: Linear;
}

export function headOf(weights: Weights): Head {
  const matrix = weights.parameters.has("lm_head") ? "lm_head" : "embed_tokens";
  return { norm: normOf(weights, "norm"), linear: linearOf(weights, matrix) };
}

/** Scratch for some rows of the head. */
export interface HeadRows {
  /** Gathered residual stream, its norm, and the logits. */
  x: Tensor;
  h: Tensor;
  rstd: Tensor;
  logits: Tensor;
}

/** @param count At most `runtime.headRows`. */
export function headRows(
  { workspace, headRows: most }: Runtime,
  { config, precision }: Weights,
  count: number,
): HeadRows {
  const whole = (name: string, dtype: "f32" | "f16", columns: number) =>
    view(workspace.get(`head ${name}`, dtype, [most, columns]), [count, columns]);
  return {
    x: whole("x", "f32", config.hiddenSize),
    h: whole("h", precision, config.hiddenSize),
    rstd: view(workspace.get("head rstd", "f32", [most]), [count]),
    logits: whole("logits", "f32", paddedColumns(config.vocabSize)),
  };
}

/**
 * The logits of some rows.
 *
 * @param y The end of the residual stream, f32 (N, C).
 * @param rows Which rows of it, u32 (count).
 */
export function logitsForward(
  commands: Commands,
  { norm, linear }: Head,
  { x, h, rstd, logits }: HeadRows,
  y: Tensor,
  rows: Tensor,
): void {
  embeddingForward(commands, x, y, rows);
  norm.forward(commands, h, rstd, x);
  linear.forward(commands, logits, h);
}

interface Chunk extends HeadRows {
  firstRow: number;
  rows: Tensor;
}

function* chunksOf(
  runtime: Runtime,
  weights: Weights,
  batch: GpuBatch,
  group: HeadGroup,
): Generator<Chunk> {
  const { workspace: { gpu }, headRows: most } = runtime;
  const end = group.firstRow + group.rowCount;
  for (let firstRow = group.firstRow; firstRow < end; firstRow += most) {
    const count = Math.min(most, end - firstRow);
    const rows = rowsFrom(gpu, batch.rows, firstRow, count);
    yield { ...headRows(runtime, weights, count), firstRow, rows };
  }
}

function chunkForward(
  commands: Commands,
  weights: Weights,
  batch: GpuBatch,
  { lse, logprob, squares }: HeadState,
  y: Tensor,
  chunk: Chunk,
): void {
  const { vocabSize: V } = weights.config;
  logitsForward(commands, headOf(weights), chunk, y, chunk.rows);
  const { logits, firstRow } = chunk;
  logprobForward(commands, lse, logprob, logits, batch, { V, firstRow });
  if (squares) logprobSquares(commands, squares, logits, lse, batch, { V, firstRow });
}

/** Sums what the chunks of a group found. */
function groupScores(
  commands: Commands,
  scores: Tensor,
  { logprob, squares }: HeadState,
  batch: GpuBatch,
  { firstSequence: first, sequenceCount: count }: HeadGroup,
): void {
  sequenceScore(commands, scores, logprob, batch, { first, count });
  if (squares) sequenceConfidence(commands, scores, logprob, squares, batch, { first, count });
}

/**
 * Scores the sequences of a batch: final norm, LM head and log-softmax over the scored rows alone, chunk by chunk.
 *
 * @param scores Receives each sequence's sums at its slot, f32 (slots, 4); see sequenceScore.
 * @param y The end of the residual stream, f32 (N, C).
 */
export function headForward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  batch: GpuBatch,
  scores: Tensor,
  y: Tensor,
): void {
  const state = headState(runtime, batch);
  for (const group of batch.groups) {
    for (const chunk of chunksOf(runtime, weights, batch, group)) {
      chunkForward(commands, weights, batch, state, y, chunk);
    }
    groupScores(commands, scores, state, batch, group);
  }
}

/**
 * {@link headForward} with the loss and the backward pass in the same sweep: a group's logits still stand when its loss is
 * known. Only a group of more rows than a chunk has its logits computed twice.
 *
 * @param loss Records the loss of a group's sequences: reads their scores and writes `dscore`.
 * @param dscore Derivative of the loss by each sequence's score, f32 (B).
 * @param dy Receives the gradient at the end of the residual stream, f32 (N, C).
 */
export function headForwardBackward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  batch: GpuBatch,
  scores: Tensor,
  y: Tensor,
  loss: (group: HeadGroup) => void,
  dscore: Tensor,
  dy: Tensor,
): void {
  const state = headState(runtime, batch);
  commands.clear(dy);
  for (const group of batch.groups) {
    const chunks = [...chunksOf(runtime, weights, batch, group)];
    for (const chunk of chunks) chunkForward(commands, weights, batch, state, y, chunk);
    groupScores(commands, scores, state, batch, group);
    loss(group);
    for (const chunk of chunks) {
      if (chunks.length > 1) chunkForward(commands, weights, batch, state, y, chunk);
      chunkBackward(commands, runtime, weights, batch, state, chunk, dscore, dy);
    }
  }
}

function chunkBackward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  batch: GpuBatch,
  state: HeadState,
  chunk: Chunk,
  dscore: Tensor,
  dy: Tensor,
): void {
  const { workspace, headRows: most } = runtime;
  const { vocabSize: V } = weights.config;
  const { norm, linear } = headOf(weights);
  const [count, C] = chunk.x.shape;
  logprobBackward(commands, chunk.logits, state.lse, dscore, batch, {
    V,
    firstRow: chunk.firstRow,
  });
  linear.backwardWeight(commands, chunk.logits, chunk.h);
  const dh = view(workspace.get("head dh", weights.precision, [most, C]), [count, C]);
  linear.backwardInput(commands, dh, chunk.logits, sumScratch(runtime, V, count, C));
  norm.backwardWeight(commands, dh, chunk.x, chunk.rstd);
  const dx = view(workspace.get("head dx", "f32", [most, C]), [count, C]);
  commands.clear(dx);
  norm.backwardInput(commands, dx, dh, chunk.x, chunk.rstd);
  // Rows are distinct, so each one's gradient goes to one place.
  embeddingBackward(commands, dy, dx, {
    ids: chunk.rows,
    starts: iota(workspace, most + 1, count + 1),
    occurrences: iota(workspace, most + 1, count),
  });
}

/** Scratch for the parts of the input gradient's sums, where the device cuts them. */
function sumScratch(
  { workspace, headRows: most }: Runtime,
  V: number,
  count: number,
  C: number,
): Tensor | undefined {
  const parts = sumParts(workspace.gpu, V);
  if (parts === 1) return undefined;
  return view(workspace.get("head parts", "f32", [parts, most, C]), [parts, count, C]);
}

/** 0, 1, 2, ... as a tensor. */
function iota(workspace: Runtime["workspace"], capacity: number, count: number): Tensor {
  const name = `iota ${capacity}`;
  const tensor = workspace.get(name, "u32", [capacity]);
  if (!initialized.has(tensor.storage)) {
    writeTensor(workspace.gpu, tensor, Uint32Array.from({ length: capacity }, (_, i) => i));
    initialized.add(tensor.storage);
  }
  return view(tensor, [count]);
}

const initialized = new WeakSet<object>();
