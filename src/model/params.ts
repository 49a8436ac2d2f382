// This module is browser compatible.
import type { LlamaConfig } from "./config.ts";

/** A tensor of a checkpoint; where several are stacked into one parameter, the rows from `firstRow`. */
export interface CheckpointTensor {
  name: string;
  shape: number[];
  firstRow: number;
}

/** A parameter as the kernels see it: matrices [output, input], q, k, v and gate, up stacked for one GEMM each. */
export interface ParameterSpec {
  name: string;
  shape: number[];
  kind: "embedding" | "norm" | "matrix" | "head";
  /** Index of the decoder layer; null outside of them. */
  layer: number | null;
  checkpoint: CheckpointTensor[];
}

type Rows = [name: string, rows: number][];

/**
 * The one table of a Llama's parameters. Allocation, loading, saving, checkpoints, the optimizer and the tests follow it.
 */
export function parameterTable(config: LlamaConfig): ParameterSpec[] {
  const { hiddenSize: C, intermediateSize: F, vocabSize: V } = config;
  const query = config.numHeads * config.headSize;
  const keyValue = config.numKvHeads * config.headSize;
  const norm = (name: string, key: string, layer: number | null): ParameterSpec => ({
    name,
    shape: [C],
    kind: "norm",
    layer,
    checkpoint: [{ name: key, shape: [C], firstRow: 0 }],
  });
  const matrix = (
    name: string,
    kind: ParameterSpec["kind"],
    layer: number | null,
    columns: number,
    parts: Rows,
  ): ParameterSpec => {
    let firstRow = 0;
    const checkpoint = parts.map(([key, rows]) => {
      const part = { name: key, shape: [rows, columns], firstRow };
      firstRow += rows;
      return part;
    });
    return { name, shape: [firstRow, columns], kind, layer, checkpoint };
  };

  const table = [
    matrix("embed_tokens", "embedding", null, C, [["model.embed_tokens.weight", V]]),
  ];
  for (let layer = 0; layer < config.numLayers; layer++) {
    const key = (part: string) => `model.layers.${layer}.${part}.weight`;
    const name = (part: string) => `layers.${layer}.${part}`;
    table.push(
      norm(name("input_layernorm"), key("input_layernorm"), layer),
      matrix(name("qkv_proj"), "matrix", layer, C, [
        [key("self_attn.q_proj"), query],
        [key("self_attn.k_proj"), keyValue],
        [key("self_attn.v_proj"), keyValue],
      ]),
      matrix(name("o_proj"), "matrix", layer, query, [[key("self_attn.o_proj"), C]]),
      norm(name("post_attention_layernorm"), key("post_attention_layernorm"), layer),
      matrix(name("gate_up_proj"), "matrix", layer, C, [
        [key("mlp.gate_proj"), F],
        [key("mlp.up_proj"), F],
      ]),
      matrix(name("down_proj"), "matrix", layer, F, [[key("mlp.down_proj"), C]]),
    );
  }
  table.push(norm("norm", "model.norm.weight", null));
  if (!config.tieWordEmbeddings) {
    table.push(matrix("lm_head", "head", null, C, [["lm_head.weight", V]]));
  }
  return table;
}

/** Name and shape of every tensor that a checkpoint of this model holds, matrices as [output, input]. */
export function checkpointTensors(config: LlamaConfig): { name: string; shape: number[] }[] {
  return parameterTable(config).flatMap(({ checkpoint }) =>
    checkpoint.map(({ name, shape }) => ({ name, shape }))
  );
}
