/** A small model's configuration and tensors, as files hold them. */
import type { NamedTensor } from "../../src/formats/safetensors.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { checkpointTensors } from "../../src/model/params.ts";

export const EMBEDDING = "model.embed_tokens.weight";
export const raw = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 20,
  vocab_size: 11,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  some_future_field: { kept: true },
};
export const tied = parseModelConfig(raw);
export const untied = parseModelConfig({ ...raw, tie_word_embeddings: false });

/** Tensors in which no two values are alike. */
export function fill(config = tied): (NamedTensor & { data: Float32Array })[] {
  return checkpointTensors(config).map(({ name, shape }, t) => ({
    name,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => t + i / 64),
  }));
}
