// This module is browser compatible.

import type { LlamaConfig } from "./config.ts";

/** Name and shape of every tensor that a checkpoint of this model holds, matrices as [output, input]. */
export function checkpointTensors(config: LlamaConfig): { name: string; shape: number[] }[] {
  const { hiddenSize, intermediateSize, vocabSize } = config;
  const queryWidth = config.numHeads * config.headSize;
  const kvWidth = config.numKvHeads * config.headSize;
  const tensors = [{ name: "model.embed_tokens.weight", shape: [vocabSize, hiddenSize] }];
  for (let layer = 0; layer < config.numLayers; layer++) {
    const prefix = `model.layers.${layer}`;
    tensors.push(
      { name: `${prefix}.input_layernorm.weight`, shape: [hiddenSize] },
      { name: `${prefix}.self_attn.q_proj.weight`, shape: [queryWidth, hiddenSize] },
      { name: `${prefix}.self_attn.k_proj.weight`, shape: [kvWidth, hiddenSize] },
      { name: `${prefix}.self_attn.v_proj.weight`, shape: [kvWidth, hiddenSize] },
      { name: `${prefix}.self_attn.o_proj.weight`, shape: [hiddenSize, queryWidth] },
      { name: `${prefix}.post_attention_layernorm.weight`, shape: [hiddenSize] },
      { name: `${prefix}.mlp.gate_proj.weight`, shape: [intermediateSize, hiddenSize] },
      { name: `${prefix}.mlp.up_proj.weight`, shape: [intermediateSize, hiddenSize] },
      { name: `${prefix}.mlp.down_proj.weight`, shape: [hiddenSize, intermediateSize] },
    );
  }
  tensors.push({ name: "model.norm.weight", shape: [hiddenSize] });
  if (!config.tieWordEmbeddings) {
    tensors.push({ name: "lm_head.weight", shape: [vocabSize, hiddenSize] });
  }
  return tensors;
}
