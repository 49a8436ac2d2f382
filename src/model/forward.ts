// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { mostTensorBytes, type Tensor } from "../gpu/tensor.ts";
import type { Workspace } from "../gpu/workspace.ts";
import { attentionForward } from "../kernels/attention.ts";
import { embeddingForward } from "../kernels/embedding.ts";
import { rowElements } from "../kernels/heads.ts";
import { ropeForward } from "../kernels/rope.ts";
import { tuned } from "../kernels/tuning.ts";
import type { GpuBatch } from "./batch.ts";
import {
  type DecoderLayer,
  decoderLayer,
  headsOf,
  type Kept,
  type LayerActivations,
  layerActivations,
} from "./layer.ts";
import { adapterRowBytes } from "./low_rank.ts";
import { forManyRows, type Operators } from "./operators.ts";
import type { Weights } from "./weights.ts";

/** Where and how the model runs: scratch memory and the table of rotary angles, shared by policy and reference. */
export interface Runtime {
  workspace: Workspace;
  /** Cosines and sines by position; see ropeTable. */
  ropeTable: Tensor;
  /** Rows of the head that are computed together; see headChunkRows. */
  headRows: number;
  /**
   * Whether a backward pass computes each layer again from its input, which is all that is kept then (Chen et al. 2016,
   * arXiv:1604.06174): much less memory, to the same bits.
   */
  recomputes: boolean;
}

/** Of a batch, what the layers read. */
type TokenBatch = Pick<GpuBatch, "tokens" | "positions" | "queryTiles">;

/** Tokens that the layers can compute together: so many rows of the widest activation fit what the device binds. */
export function mostTokensTogether(gpu: Gpu, weights: Weights): number {
  const { config, precision } = weights;
  const operands = Math.max(rowElements(config), 2 * config.intermediateSize);
  const rowBytes = Math.max(
    ...[4 * config.hiddenSize, operands * (precision === "f16" ? 2 : 4), adapterRowBytes(weights)],
  );
  return Math.floor(mostTensorBytes(gpu) / rowBytes);
}

/** Tokens that a forward pass without backward should take together. */
export function tokensPerPass({ gpu, weights }: { gpu: Gpu; weights: Weights }): number {
  return Math.min(tuned(gpu, "scoredTokens"), mostTokensTogether(gpu, weights));
}

/**
 * What attention does in a layer, from the heads in `act.qkv`, which it rotates, to `act.attention`: over a packed batch,
 * filling a cache of keys and values, or reading one.
 */
export type Attention = (act: LayerActivations, layer: number) => void;

/** One decoder layer, from `act.x` to `act.y` (Touvron et al. 2023, arXiv:2302.13971). */
export function layerForward(
  commands: Commands,
  operators: Operators,
  parts: DecoderLayer,
  attention: Attention,
  act: LayerActivations,
  layer: number,
): void {
  hiddenForward(commands, operators, parts, attention, act, layer);
  operators.linear(parts.down, act.y, { rows: act.a }, act.mid);
}

/** A decoder layer without its last product: all of it that a backward pass reads. */
export function hiddenForward(
  commands: Commands,
  { norm, linear, gated }: Operators,
  parts: DecoderLayer,
  attention: Attention,
  act: LayerActivations,
  layer: number,
): void {
  const h = norm(parts.attentionNorm, act.h, act.rstdAttention, act.x);
  linear(parts.qkv, act.projected, h);
  parts.qkNorm?.forward(commands, act.qkv, act.rstdQk!, act.projected);
  attention(act, layer);
  linear(parts.o, act.mid, { rows: act.attention }, act.x);
  const g = norm(parts.mlpNorm, act.g, act.rstdMlp, act.mid);
  gated(parts.gateUp, act.a, act.gateUp, g);
}

/** How a forward pass goes through the layers. */
export interface Pass {
  operators: Operators;
  attention: Attention;
  kept: Kept;
}

/**
 * The layers from `begin` up to `end`.
 *
 * @param x f32 (N, C).
 * @param y Receives the result; else it is in the last layer's buffer.
 * @returns Activations by layer, of which each layer's own are those that are kept, and the residual stream behind them.
 */
export function layersForward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  { operators, attention, kept }: Pass,
  x: Tensor,
  [begin, end]: [begin: number, end: number] = [0, weights.config.numLayers],
  y?: Tensor,
): { activations: LayerActivations[]; y: Tensor } {
  const activations: LayerActivations[] = [];
  let stream = x;
  for (let layer = begin; layer < end; layer++) {
    const act = { ...layerActivations(runtime, weights, x.shape[0], layer, kept), x: stream };
    if (y && layer === end - 1) act.y = y;
    layerForward(commands, operators, decoderLayer(runtime, weights, layer), attention, act, layer);
    activations.push(act);
    stream = act.y;
  }
  return { activations, y: stream };
}

/** The pass of training and scoring: attention over a packed batch. */
export function packedPass(
  commands: Commands,
  { ropeTable }: Runtime,
  weights: Weights,
  { positions, queryTiles }: TokenBatch,
  kept: Kept,
): Pass {
  const heads = headsOf(weights);
  const attention: Attention = ({ qkv, attention, lse }) => {
    ropeForward(commands, qkv, ropeTable, positions, heads);
    attentionForward(commands, attention, lse, qkv, queryTiles, heads);
  };
  return { operators: forManyRows(commands, kept !== "nothing"), attention, kept };
}

/** Makes the buffers of forward passes without a backward pass over up to N tokens, so that none grows in between. */
export function reserveForward(
  { runtime, weights }: { runtime: Runtime; weights: Weights },
  N: number,
): void {
  if (N === 0) return;
  layerActivations(runtime, weights, N, 0, "nothing");
  runtime.workspace.get("trunk", "f32", [N, weights.config.hiddenSize]);
}

/**
 * The embedding and the layers below `end`, without keeping activations: the frozen trunk.
 *
 * @param name Of the buffer that holds the result.
 * @returns The residual stream after them, f32 (N, C), in a buffer that layers from `end` on read but do not write.
 */
export function trunkForward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  batch: TokenBatch,
  end: number,
  name = "trunk",
): Tensor {
  const N = batch.tokens.shape[0];
  const trunk = runtime.workspace.get(name, "f32", [N, weights.config.hiddenSize]);
  const x = end === 0 ? trunk : layerActivations(runtime, weights, N, 0, "nothing").x;
  embed(commands, weights, x, batch.tokens);
  const pass = packedPass(commands, runtime, weights, batch, "nothing");
  layersForward(commands, runtime, weights, pass, x, [0, end], trunk);
  return trunk;
}

/** The tokens' rows of the embedding, into x, f32 (N, C). */
export function embed(commands: Commands, weights: Weights, x: Tensor, tokens: Tensor): void {
  embeddingForward(commands, x, weights.parameters.get("embed_tokens")!.operand, tokens);
}

/**
 * The layers from `begin` on.
 *
 * @param trunk What {@link trunkForward} returned for `begin`.
 * @param isTraining Whether a backward pass follows.
 * @returns See {@link layersForward}.
 */
export function topForward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  batch: TokenBatch,
  trunk: Tensor,
  begin: number,
  isTraining: boolean,
): { activations: LayerActivations[]; y: Tensor } {
  const kept = !isTraining ? "nothing" : runtime.recomputes ? "inputs" : "all";
  const pass = packedPass(commands, runtime, weights, batch, kept);
  return layersForward(commands, runtime, weights, pass, trunk, [begin, weights.config.numLayers]);
}
