// This module is browser compatible.
import { type ModelConfig, parseModelConfig } from "../model/config.ts";

/** SmolLM-135M, the shape that everything here is sized for. */
export const SMOLLM_135M: ModelConfig = parseModelConfig({
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  hidden_size: 576,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  intermediate_size: 1536,
  vocab_size: 49152,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
}, "SmolLM-135M");

/**
 * SmolLM-135M in small, for machines without a GPU: the same shares of work. 25 frozen layers, 5 trained ones and a head that
 * costs as much as 8 layers become 5, 1 and 1.6.
 */
export const SMALL: ModelConfig = parseModelConfig({
  ...SMOLLM_135M.raw,
  hidden_size: 192,
  num_hidden_layers: 6,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  intermediate_size: 512,
  vocab_size: 3264,
}, "SmolLM in small");

/** Elements of the matrices of one decoder layer, per token: half of the FLOPs of its forward pass without attention. */
export function layerElements(config: ModelConfig): number {
  const { hiddenSize: C, intermediateSize: F, numHeads, numKvHeads, headSize } = config;
  return C * headSize * (2 * numHeads + 2 * numKvHeads) + 3 * C * F;
}
