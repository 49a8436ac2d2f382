// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attentionBackward } from "../kernels/attention.ts";
import { embeddingBackward } from "../kernels/embedding.ts";
import { matmulBackwardInput, matmulBackwardWeight } from "../kernels/matmul.ts";
import { rmsnormBackward, rmsnormBackwardWeight, rmsnormForward } from "../kernels/rmsnorm.ts";
import { ropeBackward } from "../kernels/rope.ts";
import { swigluBackward, swigluForward } from "../kernels/swiglu.ts";
import type { GpuBatch } from "./batch.ts";
import { headsOf, type LayerActivations, layerOperands, type Runtime } from "./forward.ts";
import type { Weights } from "./weights.ts";

/**
 * Backward through one decoder layer: turns `dx`, the gradient at the layer's output, into that at its input, in place, and
 * accumulates the gradients of what trains. Mirrors layerForward line by line, from the end.
 *
 * @param dx f32 (N, C).
 */
export function layerBackward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  layer: number,
  batch: GpuBatch,
  act: LayerActivations,
  dx: Tensor,
): void {
  const w = layerOperands(weights, layer);
  const gradient = (name: string) => weights.parameters.get(`layers.${layer}.${name}`)!.gradient;
  const heads = headsOf(weights);
  const eps = weights.config.rmsNormEps;
  // Gradients take the scratch of the forward pass without kept activations, which the trunk has done with.
  const like = (name: string, tensor: Tensor) =>
    runtime.workspace.get(name, tensor.dtype, [...tensor.shape]);
  const dh = like("dh", act.h);
  const weightGradient = (name: string, dy: Tensor, input: Tensor) => {
    const dweight = gradient(name);
    if (dweight) matmulBackwardWeight(commands, dweight, dy, input);
  };
  const gainGradient = (name: string, x: Tensor, rstd: Tensor) => {
    const dweight = gradient(name);
    if (dweight) rmsnormBackwardWeight(commands, dweight, dh, x, rstd);
  };

  // y = mid + a W_down^T
  const da = like("da", act.a);
  matmulBackwardInput(commands, da, dx, w.down);
  swigluForward(commands, act.a, act.gateUp);
  weightGradient("down_proj", dx, act.a);
  // a = silu(gate) * up;  gate, up = h W_gate_up^T
  const dgateUp = like("gate up", act.gateUp);
  swigluBackward(commands, dgateUp, da, act.gateUp);
  matmulBackwardInput(commands, dh, dgateUp, w.gateUp);
  // h = rmsnorm(mid)
  rmsnormForward(commands, act.h, act.rstdMlp, act.mid, w.mlpNorm, eps);
  weightGradient("gate_up_proj", dgateUp, act.h);
  gainGradient("post_attention_layernorm", act.mid, act.rstdMlp);
  rmsnormBackward(commands, dx, dh, act.mid, w.mlpNorm, act.rstdMlp);

  // mid = x + attention W_o^T
  const dattention = like("attention", act.attention);
  matmulBackwardInput(commands, dattention, dx, w.o);
  weightGradient("o_proj", dx, act.attention);
  // attention(rope(q), rope(k), v);  q, k, v = h W_qkv^T
  const dqkv = like("qkv", act.qkv);
  attentionBackward(
    commands,
    dqkv,
    like("lse", act.lse),
    dattention,
    act.qkv,
    act.attention,
    act.lse,
    batch.queryTiles,
    batch.keyTiles,
    heads,
  );
  ropeBackward(commands, dqkv, runtime.ropeTable, batch.positions, heads);
  matmulBackwardInput(commands, dh, dqkv, w.qkv);
  // h = rmsnorm(x)
  rmsnormForward(commands, act.h, act.rstdAttention, act.x, w.attentionNorm, eps);
  weightGradient("qkv_proj", dqkv, act.h);
  gainGradient("input_layernorm", act.x, act.rstdAttention);
  rmsnormBackward(commands, dx, dh, act.x, w.attentionNorm, act.rstdAttention);
}

/**
 * Backward through the layers whose activations were kept, and the embedding where it trains.
 *
 * @param activations Of the layers from `begin` on.
 * @param dx Gradient at the end of the residual stream, f32 (N, C); overwritten.
 */
export function topBackward(
  commands: Commands,
  runtime: Runtime,
  weights: Weights,
  batch: GpuBatch,
  activations: LayerActivations[],
  begin: number,
  dx: Tensor,
): void {
  for (let index = activations.length - 1; index >= 0; index--) {
    layerBackward(commands, runtime, weights, begin + index, batch, activations[index], dx);
  }
  const dembedding = weights.parameters.get("embed_tokens")!.gradient;
  if (dembedding) embeddingBackward(commands, dembedding, dx, batch.tokenRows);
}
