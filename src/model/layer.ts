// This module is browser compatible.
/**
 * What a decoder layer is made of, and what it leaves behind.
 *
 * @module
 */
import type { Tensor } from "../gpu/tensor.ts";
import type { Workspace } from "../gpu/workspace.ts";
import { type Heads, rowElements } from "../kernels/heads.ts";
import { tuned } from "../kernels/tuning.ts";
import { type Linear, linearOf } from "./linear.ts";
import { adapterScratch, lowRankOf } from "./low_rank.ts";
import { type Norm, normOf, QkNorm } from "./norm.ts";
import type { Weights } from "./weights.ts";

/** The parts of a decoder layer. */
export interface DecoderLayer {
  attentionNorm: Norm;
  qkv: Linear;
  qkNorm: QkNorm | null;
  o: Linear;
  mlpNorm: Norm;
  gateUp: Linear;
  down: Linear;
}

/** @param runtime Whose scratch memory adapters take. */
export function decoderLayer(
  runtime: { workspace: Workspace },
  weights: Weights,
  layer: number,
): DecoderLayer {
  const name = (part: string) => `layers.${layer}.${part}`;
  const linear = (part: string) =>
    linearOf(weights, name(part), lowRankOf(runtime, weights, name(part)));
  const gains = weights.parameters.get(name("qk_norm"));
  return {
    attentionNorm: normOf(weights, name("input_layernorm")),
    qkv: linear("qkv_proj"),
    qkNorm: gains ? new QkNorm(gains, headsOf(weights), weights.config.rmsNormEps) : null,
    o: linear("o_proj"),
    mlpNorm: normOf(weights, name("post_attention_layernorm")),
    gateUp: linear("gate_up_proj"),
    down: linear("down_proj"),
  };
}

export function headsOf(weights: Weights): Heads {
  return weights.config;
}

/**
 * What a forward pass keeps for a backward pass: nothing, of every layer its input alone, from which the backward pass computes
 * the layer again, or all that the backward pass reads.
 */
export type Kept = "nothing" | "inputs" | "all";

/** What one decoder layer leaves behind. */
export interface LayerActivations {
  /** Input to the layer, f32 (N, C). */
  x: Tensor;
  /** Normalized input of attention, operand (N, C). */
  h: Tensor;
  /** (N) for each of the two norms. */
  rstdAttention: Tensor;
  rstdMlp: Tensor;
  /** Queries, keys and values as projected, operand (N, (NH + 2 NKV) HS); qkv itself where heads are not normalized. */
  projected: Tensor;
  /** (N, NH + NKV) for the norms of heads. */
  rstdQk: Tensor | null;
  /** Rotated queries and keys, and values, operand (N, (NH + 2 NKV) HS). */
  qkv: Tensor;
  /** Output of attention, operand (N, NH HS). */
  attention: Tensor;
  /** f32 (N, NH). */
  lse: Tensor;
  /** x plus attention, f32 (N, C). */
  mid: Tensor;
  /** Normalized input of the MLP, operand (N, C). */
  g: Tensor;
  /** operand (N, 2F). */
  gateUp: Tensor;
  /** silu(gate) * up, operand (N, F). */
  a: Tensor;
  /** Output of the layer, f32 (N, C): the next layer's x. */
  y: Tensor;
  /** Whether h, g and a are shared by all layers: the backward pass then computes them again, from x, mid and gateUp. */
  sharesInputs: boolean;
}

/** The buffers of layer `layer`: what is kept of it is its own. */
export function layerActivations(
  runtime: { workspace: Workspace },
  weights: Weights,
  N: number,
  layer: number,
  kept: Kept,
): LayerActivations {
  const { hiddenSize: C, intermediateSize: F, numHeads, numKvHeads, headSize } = weights.config;
  const { config: { architecture: { qkNorm } }, precision } = weights;
  const { workspace } = runtime;
  const keepsInputs = kept === "all" && tuned(workspace.gpu, "productInputs") === "kept";
  adapterScratch(runtime, weights, N);
  // One set for all layers is still apart from that of nothing kept, where the backward pass has its gradients.
  const own = (name: string) =>
    kept === "nothing" ? name : `${name} ${kept === "all" ? layer : "again"}`;
  const input = (name: string) => keepsInputs ? own(name) : name;
  // Without keeping, x and y change places from layer to layer.
  const residual = (index: number) => `residual ${kept === "nothing" ? index % 2 : index}`;
  const heads = (name: string) => workspace.get(name, precision, [N, rowElements(weights.config)]);
  const qkv = heads(own("qkv"));
  return {
    x: workspace.get(residual(layer), "f32", [N, C]),
    h: workspace.get(input("h"), precision, [N, C]),
    rstdAttention: workspace.get(own("rstd attention"), "f32", [N]),
    rstdMlp: workspace.get(own("rstd mlp"), "f32", [N]),
    projected: qkNorm ? heads(own("projected")) : qkv,
    rstdQk: qkNorm ? workspace.get(own("rstd qk"), "f32", [N, numHeads + numKvHeads]) : null,
    qkv,
    attention: workspace.get(own("attention"), precision, [N, numHeads * headSize]),
    lse: workspace.get(own("lse"), "f32", [N, numHeads]),
    mid: workspace.get(own("mid"), "f32", [N, C]),
    g: workspace.get(input("g"), precision, [N, C]),
    gateUp: workspace.get(own("gate up"), precision, [N, 2 * F]),
    a: workspace.get(input("a"), precision, [N, F]),
    y: workspace.get(residual(layer + 1), "f32", [N, C]),
    sharesInputs: kept === "all" && !keepsInputs,
  };
}
