// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { mostTensorBytes, rowsFrom, type Tensor, view, writeTensor } from "../gpu/tensor.ts";
import { embeddingBackward, embeddingForward } from "../kernels/embedding.ts";
import { logprobBackward, logprobForward, sequenceScore } from "../kernels/logprob.ts";
import {
  matmulBackwardInput,
  matmulBackwardWeight,
  matmulForward,
  paddedColumns,
  sumParts,
} from "../kernels/matmul.ts";
import { rmsnormBackward, rmsnormBackwardWeight, rmsnormForward } from "../kernels/rmsnorm.ts";
import { tuned } from "../kernels/tuning.ts";
import type { GpuBatch, HeadGroup } from "./batch.ts";
import type { Runtime } from "./forward.ts";
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
}

export function headState({ workspace }: Runtime, batch: GpuBatch): HeadState {
  return {
    lse: workspace.get("head lse", "f32", [batch.rowScored.shape[0], 2]),
    logprob: workspace.get("head logprob", "f32", [batch.scored.shape[0]]),
  };
}

interface Chunk {
  firstRow: number;
  rows: Tensor;
  /** Gathered residual stream, its norm, and the logits. */
  x: Tensor;
  h: Tensor;
  rstd: Tensor;
  logits: Tensor;
}

function* chunksOf(
  { workspace, headRows: most }: Runtime,
  weights: Weights,
  batch: GpuBatch,
  group: HeadGroup,
) {
  const { hiddenSize: C, vocabSize: V } = weights.config;
  const end = group.firstRow + group.rowCount;
  for (let firstRow = group.firstRow; firstRow < end; firstRow += most) {
    const count = Math.min(most, end - firstRow);
    const whole = (name: string, dtype: "f32" | "f16", columns: number) =>
      view(workspace.get(`head ${name}`, dtype, [most, columns]), [count, columns]);
    const chunk: Chunk = {
      firstRow,
      rows: rowsFrom(workspace.gpu, batch.rows, firstRow, count),
      x: whole("x", "f32", C),
      h: whole("h", weights.precision, C),
      rstd: view(workspace.get("head rstd", "f32", [most]), [count]),
      logits: whole("logits", "f32", paddedColumns(V)),
    };
    yield chunk;
  }
}

/** The matrix of the head: the embedding where the model is tied. */
export function headParameter(weights: Weights) {
  return weights.parameters.get("lm_head") ?? weights.parameters.get("embed_tokens")!;
}

function chunkForward(
  commands: Commands,
  weights: Weights,
  batch: GpuBatch,
  state: HeadState,
  y: Tensor,
  chunk: Chunk,
): void {
  const { rmsNormEps, vocabSize: V } = weights.config;
  const norm = weights.parameters.get("norm")!;
  embeddingForward(commands, chunk.x, y, chunk.rows);
  rmsnormForward(commands, chunk.h, chunk.rstd, chunk.x, norm.operand, rmsNormEps);
  matmulForward(commands, chunk.logits, chunk.h, headParameter(weights).operand);
  const { lse, logprob } = state;
  logprobForward(commands, lse, logprob, chunk.logits, batch, { V, firstRow: chunk.firstRow });
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
    const { firstSequence: first, sequenceCount: count } = group;
    sequenceScore(commands, scores, state.logprob, batch, { first, count });
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
    const { firstSequence: first, sequenceCount: count } = group;
    sequenceScore(commands, scores, state.logprob, batch, { first, count });
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
  const head = headParameter(weights);
  const norm = weights.parameters.get("norm")!;
  const [count, C] = chunk.x.shape;
  logprobBackward(commands, chunk.logits, state.lse, dscore, batch, {
    V,
    firstRow: chunk.firstRow,
  });
  if (head.gradient) matmulBackwardWeight(commands, head.gradient, chunk.logits, chunk.h);
  const dh = view(workspace.get("head dh", weights.precision, [most, C]), [count, C]);
  matmulBackwardInput(commands, dh, chunk.logits, head.operand, sumScratch(runtime, V, count, C));
  if (norm.gradient) rmsnormBackwardWeight(commands, norm.gradient, dh, chunk.x, chunk.rstd);
  const dx = view(workspace.get("head dx", "f32", [most, C]), [count, C]);
  commands.clear(dx);
  rmsnormBackward(commands, dx, dh, chunk.x, norm.operand, chunk.rstd);
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
