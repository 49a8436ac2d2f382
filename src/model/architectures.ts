// This module is browser compatible.
/**
 * What differs between the architectures: one decoder, described by a row for each class of Hugging Face's transformers.
 *
 * @module
 */

/** Whether a kind of matrix has a bias: always or never, or as the named field of `config.json` says. */
type BiasRule = boolean | string;

export interface Architecture {
  /** As `architectures` and `model_type` of `config.json` name it. */
  className: string;
  modelType: string;
  biases: {
    /** Of queries, keys and values; of attention's output; of gate, up and down. */
    qkv: BiasRule;
    output: BiasRule;
    mlp: BiasRule;
  };
  /** Whether each query head and each key head is normalized before its rotation. */
  qkNorm: boolean;
  /** What transformers takes where `config.json` leaves a field out. */
  defaults: Record<string, unknown>;
  /**
   * Fields that switch attention within a sliding window on, which is not supported: `switch` by being true, `window` by a
   * number below the longest text.
   */
  slidingWindow?: "switch" | "window";
}

export const ARCHITECTURES: readonly Architecture[] = [
  {
    className: "LlamaForCausalLM",
    modelType: "llama",
    biases: { qkv: "attention_bias", output: "attention_bias", mlp: "mlp_bias" },
    qkNorm: false,
    defaults: { max_position_embeddings: 2048 },
  },
  {
    className: "MistralForCausalLM",
    modelType: "mistral",
    biases: { qkv: false, output: false, mlp: false },
    qkNorm: false,
    defaults: { max_position_embeddings: 131072, num_key_value_heads: 8, sliding_window: 4096 },
    slidingWindow: "window",
  },
  {
    className: "Qwen2ForCausalLM",
    modelType: "qwen2",
    biases: { qkv: true, output: false, mlp: false },
    qkNorm: false,
    defaults: { max_position_embeddings: 32768, num_key_value_heads: 32 },
    slidingWindow: "switch",
  },
  {
    className: "Qwen3ForCausalLM",
    modelType: "qwen3",
    biases: { qkv: "attention_bias", output: "attention_bias", mlp: false },
    qkNorm: true,
    defaults: { max_position_embeddings: 32768, num_key_value_heads: 32, head_dim: 128 },
    slidingWindow: "switch",
  },
];
