import type { ModelConfig } from "../../src/model/config.ts";
import { ropeFrequencies } from "../../src/model/rope_frequencies.ts";
import { attentionForward } from "./attention.ts";
import { embeddingForward } from "./embedding.ts";
import { logSumExp } from "./logprob.ts";
import { matmulForward } from "./matmul.ts";
import { rmsnormForward } from "./rmsnorm.ts";
import { rope } from "./rope.ts";
import { swigluForward } from "./swiglu.ts";

/** Weights by their names in a checkpoint. */
export type Tensors = ReadonlyMap<string, ArrayLike<number>>;

/** Logits (T, V) of a model after each token of a plain sequence, in double precision. */
export function modelLogits(
  config: ModelConfig,
  tensors: Tensors,
  ids: ArrayLike<number>,
): Float64Array {
  const { hiddenSize: C, intermediateSize: F, numHeads, numKvHeads, headSize: HS, vocabSize } =
    config;
  const T = ids.length;
  const positions = Array.from({ length: T }, (_, t) => t);
  const seen = positions.map((t) => positions.slice(0, t + 1));
  const weight = (name: string) => tensors.get(`${name}.weight`)!;
  const linear = (x: Float64Array, name: string, N: number, residual?: Float64Array) =>
    matmulForward(
      x,
      weight(name),
      residual,
      { M: T, N, K: x.length / T, stride: N },
      tensors.get(`${name}.bias`),
    );
  const norm = (x: Float64Array, name: string, width = C) =>
    rmsnormForward(x, weight(name), x.length / width, width, config.rmsNormEps).y;
  const qkNorm = (heads: Float64Array, name: string) =>
    config.architecture.qkNorm ? norm(heads, name, HS) : heads;
  const beside = (...parts: Float64Array[]) => {
    const rows = positions.flatMap((t) =>
      parts.map((part) => part.subarray(t * part.length / T, (t + 1) * part.length / T))
    );
    return Float64Array.from(rows.flatMap((row) => [...row]));
  };

  let x = embeddingForward(weight("model.embed_tokens"), ids, C);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const name = (part: string) => `model.layers.${layer}.${part}`;
    const h = norm(x, name("input_layernorm"));
    const qkv = beside(
      qkNorm(linear(h, name("self_attn.q_proj"), numHeads * HS), name("self_attn.q_norm")),
      qkNorm(linear(h, name("self_attn.k_proj"), numKvHeads * HS), name("self_attn.k_norm")),
      linear(h, name("self_attn.v_proj"), numKvHeads * HS),
    );
    const rotated = rope(qkv, ropeFrequencies(config), positions, config, 1);
    const { out } = attentionForward(rotated, config, seen);
    const mid = linear(out, name("self_attn.o_proj"), C, x);
    const g = norm(mid, name("post_attention_layernorm"));
    const gateUp = beside(linear(g, name("mlp.gate_proj"), F), linear(g, name("mlp.up_proj"), F));
    x = linear(swigluForward(gateUp, T, F), name("mlp.down_proj"), C, mid);
  }
  const head = config.tieWordEmbeddings ? "model.embed_tokens" : "lm_head";
  return linear(norm(x, "model.norm"), head, vocabSize);
}

/** The log-probability of each token but the first, given those before it: (T - 1). */
export function tokenLogprobs(
  config: ModelConfig,
  tensors: Tensors,
  ids: ArrayLike<number>,
): Float64Array {
  const { vocabSize: V } = config;
  const logits = modelLogits(config, tensors, ids);
  const lse = logSumExp(logits, ids.length, V, V);
  return Float64Array.from(
    { length: ids.length - 1 },
    (_, t) => logits[t * V + ids[t + 1]] - lse[t],
  );
}

/** The score of a sequence: its tokens' log-probabilities, of completion or all, as sum or mean. */
export function sequenceScore(
  logprobs: Float64Array,
  promptLength: number,
  { scope, reduction }: { scope: "completion" | "all"; reduction: "sum" | "mean" },
): number {
  const counted = scope === "all" ? logprobs : logprobs.subarray(promptLength - 1);
  const sum = counted.reduce((a, b) => a + b, 0);
  return reduction === "sum" ? sum : sum / counted.length;
}
