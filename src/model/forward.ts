// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { mostTensorBytes, type Tensor } from "../gpu/tensor.ts";
import type { Workspace } from "../gpu/workspace.ts";
import { attentionForward } from "../kernels/attention.ts";
import { embeddingForward } from "../kernels/embedding.ts";
import { type Heads, rowElements } from "../kernels/heads.ts";
import { ropeForward } from "../kernels/rope.ts";
import type { GpuBatch } from "./batch.ts";
import { type Linear, linearOf } from "./linear.ts";
import { HeadNorm, type Norm, normOf } from "./norm.ts";
import { forManyRows, type Operators } from "./operators.ts";
import type { Weights } from "./weights.ts";

/** Where the model runs: scratch memory and the table of rotary angles, shared by policy and reference. */
export interface Runtime {
  workspace: Workspace;
  /** Cosines and sines by position; see ropeTable. */
  ropeTable: Tensor;
  /** Rows of the head that are computed together; see headChunkRows. */
  headRows: number;
}

/**
 * What one decoder layer leaves behind. Training keeps a set per trained layer; inference uses the same one for all. h and a
 * are shared even in training: the backward pass computes them again from x, mid and gateUp.
 */
export interface LayerActivations {
  /** Input to the layer, f32 (N, C). */
  x: Tensor;
  /** Normalized input of attention, then of the MLP, operand (N, C). */
  h: Tensor;
  /** (N) for each of the two norms. */
  rstdAttention: Tensor;
  rstdMlp: Tensor;
  /** Queries, keys and values as projected, operand (N, (NH + 2 NKV) HS); qkv itself where heads are not normalized. */
  projected: Tensor;
  /** (N, NH + NKV) for the norms of heads. */
  rstdHeads: Tensor | null;
  /** Rotated queries and keys, and values, operand (N, (NH + 2 NKV) HS). */
  qkv: Tensor;
  /** Output of attention, operand (N, NH HS). */
  attention: Tensor;
  /** f32 (N, NH). */
  lse: Tensor;
  /** x plus attention, f32 (N, C). */
  mid: Tensor;
  /** operand (N, 2F). */
  gateUp: Tensor;
  /** silu(gate) * up, operand (N, F). */
  a: Tensor;
  /** Output of the layer, f32 (N, C): the next layer's x. */
  y: Tensor;
}

/** Of a batch, what the layers read. */
type TokenBatch = Pick<GpuBatch, "tokens" | "positions" | "queryTiles">;

export function headsOf(weights: Weights): Heads {
  return weights.config;
}

/** Tokens that the layers can compute together: so many rows of the widest activation fit what the device binds. */
export function mostTokensTogether(gpu: Gpu, { config, precision }: Weights): number {
  const operands = Math.max(rowElements(config), 2 * config.intermediateSize);
  const rowBytes = Math.max(4 * config.hiddenSize, operands * (precision === "f16" ? 2 : 4));
  return Math.floor(mostTensorBytes(gpu) / rowBytes);
}

/** The buffers of layer `layer`; with `keep` they are the layer's own, so that a backward pass can follow. */
export function layerActivations(
  { workspace }: Runtime,
  weights: Weights,
  N: number,
  layer: number,
  keep: boolean,
): LayerActivations {
  const { hiddenSize: C, intermediateSize: F, numHeads, numKvHeads, headSize } = weights.config;
  const { config: { architecture: { headNorm } }, precision } = weights;
  const own = (name: string) => keep ? `${name} ${layer}` : name;
  // Without keeping, x and y change places from layer to layer.
  const residual = (index: number) => keep ? `residual ${index}` : `residual ${index % 2}`;
  const heads = (name: string) => workspace.get(name, precision, [N, rowElements(weights.config)]);
  const qkv = heads(own("qkv"));
  return {
    x: workspace.get(residual(layer), "f32", [N, C]),
    h: workspace.get("h", precision, [N, C]),
    rstdAttention: workspace.get(own("rstd attention"), "f32", [N]),
    rstdMlp: workspace.get(own("rstd mlp"), "f32", [N]),
    projected: headNorm ? heads(own("projected")) : qkv,
    rstdHeads: headNorm
      ? workspace.get(own("rstd heads"), "f32", [N, numHeads + numKvHeads])
      : null,
    qkv,
    attention: workspace.get(own("attention"), precision, [N, numHeads * headSize]),
    lse: workspace.get(own("lse"), "f32", [N, numHeads]),
    mid: workspace.get(own("mid"), "f32", [N, C]),
    gateUp: workspace.get(own("gate up"), precision, [N, 2 * F]),
    a: workspace.get("a", precision, [N, F]),
    y: workspace.get(residual(layer + 1), "f32", [N, C]),
  };
}

/** What a decoder layer is made of. */
export interface DecoderLayer {
  attentionNorm: Norm;
  qkv: Linear;
  headNorm: HeadNorm | null;
  o: Linear;
  mlpNorm: Norm;
  gateUp: Linear;
  down: Linear;
}

export function decoderLayer(weights: Weights, layer: number): DecoderLayer {
  const name = (part: string) => `layers.${layer}.${part}`;
  const gains = weights.parameters.get(name("head_norm"));
  return {
    attentionNorm: normOf(weights, name("input_layernorm")),
    qkv: linearOf(weights, name("qkv_proj")),
    headNorm: gains ? new HeadNorm(gains, headsOf(weights), weights.config.rmsNormEps) : null,
    o: linearOf(weights, name("o_proj")),
    mlpNorm: normOf(weights, name("post_attention_layernorm")),
    gateUp: linearOf(weights, name("gate_up_proj")),
    down: linearOf(weights, name("down_proj")),
  };
}

/**
 * What attention does in a layer, from the heads in `act.qkv`, which it rotates, to `act.attention`: over a packed batch, filling a cache
 * of keys and values, or reading one.
 */
export type Attention = (act: LayerActivations, layer: number) => void;

/** One decoder layer, from `act.x` to `act.y` (Touvron et al. 2023, arXiv:2302.13971). */
export function layerForward(
  { norm, linear, headNorm, gated }: Operators,
  parts: DecoderLayer,
  attention: Attention,
  act: LayerActivations,
  layer: number,
): void {
  const h = norm(parts.attentionNorm, act.h, act.rstdAttention, act.x);
  linear(parts.qkv, act.projected, h);
  if (parts.headNorm) headNorm(parts.headNorm, act.qkv, act.rstdHeads!, act.projected);
  attention(act, layer);
  linear(parts.o, act.mid, { rows: act.attention }, act.x);
  const g = norm(parts.mlpNorm, act.h, act.rstdMlp, act.mid);
  gated(parts.gateUp, act.a, act.gateUp, g);
  linear(parts.down, act.y, { rows: act.a }, act.mid);
}

/** How a forward pass goes through the layers. */
export interface Pass {
  operators: Operators;
  attention: Attention;
  /** Whether each layer's activations are to stay, so that a backward pass can follow. */
  keep: boolean;
}

/**
 * The layers from `begin` up to `end`.
 *
 * @param x f32 (N, C).
 * @param y Receives the result; else it is in the last layer's buffer.
 * @returns Activations by layer (the same buffers over and over without `keep`) and the residual stream behind them.
 */
export function layersForward(
  runtime: Runtime,
  weights: Weights,
  { operators, attention, keep }: Pass,
  x: Tensor,
  [begin, end]: [begin: number, end: number] = [0, weights.config.numLayers],
  y?: Tensor,
): { activations: LayerActivations[]; y: Tensor } {
  const activations: LayerActivations[] = [];
  let stream = x;
  for (let layer = begin; layer < end; layer++) {
    const act = { ...layerActivations(runtime, weights, x.shape[0], layer, keep), x: stream };
    if (y && layer === end - 1) act.y = y;
    layerForward(operators, decoderLayer(weights, layer), attention, act, layer);
    activations.push(act);
    stream = act.y;
  }
  return { activations, y: stream };
}

/** The pass of training and scoring: attention over a packed batch. */
function packedPass(
  commands: Commands,
  { ropeTable }: Runtime,
  weights: Weights,
  { positions, queryTiles }: TokenBatch,
  keep: boolean,
): Pass {
  const heads = headsOf(weights);
  const attention: Attention = ({ qkv, attention, lse }) => {
    ropeForward(commands, qkv, ropeTable, positions, heads);
    attentionForward(commands, attention, lse, qkv, queryTiles, heads);
  };
  return { operators: forManyRows(commands, keep), attention, keep };
}

/** Makes the buffers of forward passes without a backward pass over up to N tokens, so that none grows in between. */
export function reserveForward(
  { runtime, weights }: { runtime: Runtime; weights: Weights },
  N: number,
): void {
  if (N === 0) return;
  layerActivations(runtime, weights, N, 0, false);
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
  const x = end === 0 ? trunk : layerActivations(runtime, weights, N, 0, false).x;
  embed(commands, weights, x, batch.tokens);
  const pass = packedPass(commands, runtime, weights, batch, false);
  layersForward(runtime, weights, pass, x, [0, end], trunk);
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
 * @param keep Whether a backward pass follows.
 * @returns See {@link layersForward}.
 */
export function topForward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  batch: TokenBatch,
  trunk: Tensor,
  begin: number,
  keep: boolean,
): { activations: LayerActivations[]; y: Tensor } {
  const pass = packedPass(commands, runtime, weights, batch, keep);
  return layersForward(runtime, weights, pass, trunk, [begin, weights.config.numLayers]);
}
