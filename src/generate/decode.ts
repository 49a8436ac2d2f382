// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attentionDecode } from "../kernels/attention_decode.ts";
import type { DecodePlaces } from "../kernels/decode_advance.ts";
import { embeddingForward } from "../kernels/embedding.ts";
import { paddedColumns } from "../kernels/matmul.ts";
import { matvecForward } from "../kernels/matvec.ts";
import { ropeCache } from "../kernels/rope.ts";
import {
  headsOf,
  type LayerActivations,
  layerActivations,
  layerOperands,
} from "../model/forward.ts";
import { headParameter } from "../model/head.ts";
import type { Model } from "../model/model.ts";

/**
 * One more token of every sequence through all layers, with the keys and values of those before from the cache.
 *
 * @param cache See kvCache; receives the keys and values of the tokens.
 * @param tokens u32 (B).
 * @returns The end of the residual stream, f32 (B, C).
 */
export function decodeForward(
  commands: Commands,
  { runtime, weights }: Model,
  cache: Tensor[],
  tokens: Tensor,
  places: DecodePlaces,
): Tensor {
  const [B] = tokens.shape;
  let { x } = layerActivations(runtime, weights, B, 0, false);
  embeddingForward(commands, x, weights.parameters.get("embed_tokens")!.operand, tokens);
  for (const [layer, keysAndValues] of cache.entries()) {
    const act = { ...layerActivations(runtime, weights, B, layer, false), x };
    decodeLayer(commands, { runtime, weights }, layer, keysAndValues, act, places);
    x = act.y;
  }
  return x;
}

/** layerForward for one row per sequence, in 6 launches instead of 10: decoding waits for those, not for arithmetic. */
function decodeLayer(
  commands: Commands,
  { runtime, weights }: Pick<Model, "runtime" | "weights">,
  layer: number,
  cache: Tensor,
  act: LayerActivations,
  { positions, cacheRows, lengths }: DecodePlaces,
): void {
  const w = layerOperands(weights, layer);
  const heads = headsOf(weights);
  const norm = (gain: Tensor) => ({ gain, eps: weights.config.rmsNormEps });
  matvecForward(commands, act.qkv, act.x, w.qkv, { norm: norm(w.attentionNorm) });
  ropeCache(commands, act.qkv, cache, cacheRows, runtime.ropeTable, positions, heads);
  attentionDecode(commands, act.attention, act.qkv, cache, lengths, heads);
  matvecForward(commands, act.mid, act.attention, w.o, { residual: act.x });
  matvecForward(commands, act.a, act.mid, w.gateUp, { norm: norm(w.mlpNorm), gated: true });
  matvecForward(commands, act.y, act.a, w.down, { residual: act.mid });
}

/**
 * Final norm and LM head of one row per sequence.
 *
 * @param y The end of the residual stream, f32 (B, C).
 * @returns Logits, f32 (B, paddedColumns(V)).
 */
export function decodeHead(commands: Commands, { runtime, weights }: Model, y: Tensor): Tensor {
  const { workspace } = runtime;
  const { vocabSize: V, rmsNormEps } = weights.config;
  const [B] = y.shape;
  const logits = workspace.get("decode logits", "f32", [B, paddedColumns(V)]);
  const norm = { gain: weights.parameters.get("norm")!.operand, eps: rmsNormEps };
  matvecForward(commands, logits, y, headParameter(weights).operand, { norm });
  return logits;
}
