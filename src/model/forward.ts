// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Gpu } from "../gpu/device.ts";
import { mostTensorBytes, type Tensor } from "../gpu/tensor.ts";
import type { Workspace } from "../gpu/workspace.ts";
import { attentionForward } from "../kernels/attention.ts";
import { embeddingForward } from "../kernels/embedding.ts";
import { type Heads, rowElements } from "../kernels/heads.ts";
import { matmulForward, matmulGated } from "../kernels/matmul.ts";
import { rmsnormForward } from "../kernels/rmsnorm.ts";
import { ropeForward } from "../kernels/rope.ts";
import type { GpuBatch } from "./batch.ts";
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
  const { hiddenSize: C, intermediateSize: F, numHeads, headSize } = weights.config;
  const { precision } = weights;
  const own = (name: string) => keep ? `${name} ${layer}` : name;
  // Without keeping, x and y change places from layer to layer.
  const residual = (index: number) => keep ? `residual ${index}` : `residual ${index % 2}`;
  return {
    x: workspace.get(residual(layer), "f32", [N, C]),
    h: workspace.get("h", precision, [N, C]),
    rstdAttention: workspace.get(own("rstd attention"), "f32", [N]),
    rstdMlp: workspace.get(own("rstd mlp"), "f32", [N]),
    qkv: workspace.get(own("qkv"), precision, [N, rowElements(headsOf(weights))]),
    attention: workspace.get(own("attention"), precision, [N, numHeads * headSize]),
    lse: workspace.get(own("lse"), "f32", [N, numHeads]),
    mid: workspace.get(own("mid"), "f32", [N, C]),
    gateUp: workspace.get(own("gate up"), precision, [N, 2 * F]),
    a: workspace.get("a", precision, [N, F]),
    y: workspace.get(residual(layer + 1), "f32", [N, C]),
  };
}

/** The weights of one decoder layer, as GEMM operands. */
export function layerOperands(weights: Weights, layer: number) {
  const get = (name: string) => weights.parameters.get(`layers.${layer}.${name}`)!.operand;
  return {
    attentionNorm: get("input_layernorm"),
    qkv: get("qkv_proj"),
    o: get("o_proj"),
    mlpNorm: get("post_attention_layernorm"),
    gateUp: get("gate_up_proj"),
    down: get("down_proj"),
  };
}

/**
 * One decoder layer, from `act.x` to `act.y` (Touvron et al. 2023, arXiv:2302.13971).
 *
 * @param keep Whether a backward pass follows.
 */
export function layerForward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  layer: number,
  batch: Pick<GpuBatch, "positions" | "queryTiles">,
  act: LayerActivations,
  keep: boolean,
): void {
  const w = layerOperands(weights, layer);
  const heads = headsOf(weights);
  const eps = weights.config.rmsNormEps;
  rmsnormForward(commands, act.h, act.rstdAttention, act.x, w.attentionNorm, eps);
  matmulForward(commands, act.qkv, act.h, w.qkv);
  ropeForward(commands, act.qkv, runtime.ropeTable, batch.positions, heads);
  attentionForward(commands, act.attention, act.lse, act.qkv, batch.queryTiles, heads);
  matmulForward(commands, act.mid, act.attention, w.o, act.x);
  rmsnormForward(commands, act.h, act.rstdMlp, act.mid, w.mlpNorm, eps);
  matmulGated(commands, act.a, act.gateUp, act.h, w.gateUp, keep);
  matmulForward(commands, act.y, act.a, w.down, act.mid);
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
  const C = weights.config.hiddenSize;
  const trunk = runtime.workspace.get(name, "f32", [N, C]);
  const embedding = weights.parameters.get("embed_tokens")!.operand;
  let x = end === 0 ? trunk : layerActivations(runtime, weights, N, 0, false).x;
  embeddingForward(commands, x, embedding, batch.tokens);
  for (let layer = 0; layer < end; layer++) {
    const act = layerActivations(runtime, weights, N, layer, false);
    act.x = x;
    if (layer === end - 1) act.y = trunk;
    layerForward(commands, runtime, weights, layer, batch, act, false);
    x = act.y;
  }
  return trunk;
}

/**
 * The layers from `begin` on.
 *
 * @param trunk What {@link trunkForward} returned for `begin`.
 * @param keep Whether a backward pass follows.
 * @returns Activations by layer (the same buffers over and over without `keep`) and the residual stream at the end.
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
  const N = batch.tokens.shape[0];
  const activations: LayerActivations[] = [];
  let x = trunk;
  for (let layer = begin; layer < weights.config.numLayers; layer++) {
    const act = layerActivations(runtime, weights, N, layer, keep);
    act.x = x;
    layerForward(commands, runtime, weights, layer, batch, act, keep);
    activations.push(act);
    x = act.y;
  }
  return { activations, y: x };
}
