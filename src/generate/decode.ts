// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attentionDecode } from "../kernels/attention_decode.ts";
import { paddedColumns } from "../kernels/matmul.ts";
import { type Attention, embed, layersForward, type Pass } from "../model/forward.ts";
import { headOf } from "../model/head.ts";
import { headsOf, layerActivations } from "../model/layer.ts";
import type { Model } from "../model/model.ts";
import { forFewRows } from "../model/operators.ts";

/**
 * One more token of every sequence through all layers, with the keys and values of those before from the cache.
 *
 * @param cache See kvCache; receives the keys and values of the tokens.
 * @param tokens u32 (B).
 * @param lengths See attentionDecode.
 * @returns The end of the residual stream, f32 (B, C).
 */
export function decodeForward(
  commands: Commands,
  { runtime, weights }: Model,
  cache: Tensor[],
  tokens: Tensor,
  lengths: Tensor,
): Tensor {
  const heads = headsOf(weights);
  const attention: Attention = ({ qkv, attention }, layer) => {
    attentionDecode(commands, attention, cache[layer], qkv, runtime.ropeTable, lengths, heads);
  };
  const { x } = layerActivations(runtime, weights, tokens.shape[0], 0, "nothing");
  embed(commands, weights, x, tokens);
  const pass: Pass = { operators: forFewRows(commands), attention, kept: "nothing" };
  return layersForward(commands, runtime, weights, pass, x).y;
}

/**
 * Final norm and LM head of one row per sequence.
 *
 * @param y The end of the residual stream, f32 (B, C).
 * @returns Logits, f32 (B, paddedColumns(V)).
 */
export function decodeHead(commands: Commands, { runtime, weights }: Model, y: Tensor): Tensor {
  const stride = paddedColumns(weights.config.vocabSize);
  const logits = runtime.workspace.get("decode logits", "f32", [y.shape[0], stride]);
  const { norm, linear } = headOf(weights);
  forFewRows(commands).linear(linear, logits, { rows: y, norm });
  return logits;
}
