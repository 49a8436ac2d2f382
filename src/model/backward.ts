// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attentionBackward } from "../kernels/attention.ts";
import { embeddingBackward } from "../kernels/embedding.ts";
import { ropeBackward } from "../kernels/rope.ts";
import { swigluBackward, swigluForward } from "../kernels/swiglu.ts";
import type { GpuBatch } from "./batch.ts";
import { hiddenForward, packedPass, type Runtime } from "./forward.ts";
import { decoderLayer, headsOf, type LayerActivations } from "./layer.ts";
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
  const parts = decoderLayer(runtime, weights, layer);
  const heads = headsOf(weights);
  // Gradients take the scratch of the forward pass without kept activations, which the trunk has done with.
  const like = (name: string, tensor: Tensor) =>
    runtime.workspace.get(name, tensor.dtype, [...tensor.shape]);
  const dh = like("dh", act.h); // of g, then of h

  // y = mid + a W_down^T
  const da = like("da", act.a);
  parts.down.backwardInput(commands, da, dx);
  if (act.sharesInputs) swigluForward(commands, act.a, act.gateUp);
  parts.down.backwardWeight(commands, dx, act.a);
  // a = silu(gate) * up;  gate, up = g W_gate_up^T
  const dgateUp = like("gate up", act.gateUp);
  swigluBackward(commands, dgateUp, da, act.gateUp);
  parts.gateUp.backwardInput(commands, dh, dgateUp);
  // g = rmsnorm(mid)
  if (act.sharesInputs) parts.mlpNorm.forward(commands, act.g, act.rstdMlp, act.mid);
  parts.gateUp.backwardWeight(commands, dgateUp, act.g);
  parts.mlpNorm.backwardWeight(commands, dh, act.mid, act.rstdMlp);
  parts.mlpNorm.backwardInput(commands, dx, dh, act.mid, act.rstdMlp);

  // mid = x + attention W_o^T
  const dattention = like("attention", act.attention);
  parts.o.backwardInput(commands, dattention, dx);
  parts.o.backwardWeight(commands, dx, act.attention);
  // attention(rope(q), rope(k), v)
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
  // q, k = qknorm(q), qknorm(k)
  parts.qkNorm?.backwardWeight(commands, dqkv, act.projected, act.rstdQk!);
  parts.qkNorm?.backwardInput(commands, dqkv, act.projected, act.rstdQk!);
  // q, k, v = h W_qkv^T
  parts.qkv.backwardInput(commands, dh, dqkv);
  // h = rmsnorm(x)
  if (act.sharesInputs) parts.attentionNorm.forward(commands, act.h, act.rstdAttention, act.x);
  parts.qkv.backwardWeight(commands, dqkv, act.h);
  parts.attentionNorm.backwardWeight(commands, dh, act.x, act.rstdAttention);
  parts.attentionNorm.backwardInput(commands, dx, dh, act.x, act.rstdAttention);
}

/**
 * Backward through the layers that train, and the embedding where it does.
 *
 * @param activations Of the layers from `begin` on. Where only the inputs of layers were kept, all others stand in one set of
 * buffers for all layers: they are the last layer's, and those of each layer below are computed again.
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
  const { operators, attention } = packedPass(commands, runtime, weights, batch, "inputs");
  const last = activations.length - 1;
  for (let index = last; index >= 0; index--) {
    const [layer, act] = [begin + index, activations[index]];
    if (runtime.recomputes && index < last) {
      const parts = decoderLayer(runtime, weights, layer);
      hiddenForward(commands, operators, parts, attention, act, layer);
    }
    layerBackward(commands, runtime, weights, layer, batch, act, dx);
  }
  const dembedding = weights.parameters.get("embed_tokens")!.gradient;
  if (dembedding) embeddingBackward(commands, dembedding, dx, batch.tokenRows);
}
