// This module is browser compatible.
import type { ModelConfig } from "./config.ts";

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
  kind: "embedding" | "norm" | "matrix" | "bias" | "head" | "adapter";
  /** Index of the decoder layer; null outside of them. */
  layer: number | null;
  checkpoint: CheckpointTensor[];
}

/**
 * Whether a parameter is the gain of a norm or a bias. These are f32 at every precision, and no weight decay applies to them
 * unless asked for, as in transformers.
 */
export const isVector = ({ kind }: ParameterSpec) => kind === "norm" || kind === "bias";

/** Whether a parameter is an operand in the run's precision. Vectors and adapters, which are small, are f32 at every one. */
export const isOperand = (spec: ParameterSpec) => !isVector(spec) && spec.kind !== "adapter";

/** The parameter that is the bias of a matrix. */
export const biasName = (matrix: string) => `${matrix}.bias`;

/** Tensors of a checkpoint and their rows; those of one parameter are stacked. */
type Parts = [name: string, rows: number][];

/**
 * The one table of a model's parameters. Allocation, loading, saving, checkpoints, the optimizer and the tests follow it.
 */
export function parameterTable(config: ModelConfig): ParameterSpec[] {
  const { hiddenSize: C, intermediateSize: F, vocabSize: V, headSize: HS, biases } = config;
  const [query, keyValue] = [config.numHeads * HS, config.numKvHeads * HS];
  const table: ParameterSpec[] = [];
  const add = (
    kind: ParameterSpec["kind"],
    layer: number | null,
    name: string,
    parts: Parts,
    columns: number[] = [],
  ) => {
    let firstRow = 0;
    const checkpoint = parts.map(([name, rows]) => {
      const part = { name, shape: [rows, ...columns], firstRow };
      firstRow += rows;
      return part;
    });
    table.push({ name, shape: [firstRow, ...columns], kind, layer, checkpoint });
  };

  add("embedding", null, "embed_tokens", [["model.embed_tokens.weight", V]], [C]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const tensors = (parts: Parts, ending: string): Parts =>
      parts.map(([part, rows]) => [`model.layers.${layer}.${part}.${ending}`, rows]);
    const norm = (part: string, parts: Parts) =>
      add("norm", layer, `layers.${layer}.${part}`, tensors(parts, "weight"));
    const linear = (part: string, parts: Parts, columns: number, bias: boolean) => {
      const name = `layers.${layer}.${part}`;
      add("matrix", layer, name, tensors(parts, "weight"), [columns]);
      if (bias) add("bias", layer, biasName(name), tensors(parts, "bias"));
    };
    norm("input_layernorm", [["input_layernorm", C]]);
    const qkv: Parts = [
      ["self_attn.q_proj", query],
      ["self_attn.k_proj", keyValue],
      ["self_attn.v_proj", keyValue],
    ];
    linear("qkv_proj", qkv, C, biases.qkv);
    if (config.architecture.qkNorm) {
      norm("qk_norm", [["self_attn.q_norm", HS], ["self_attn.k_norm", HS]]);
    }
    linear("o_proj", [["self_attn.o_proj", C]], query, biases.output);
    norm("post_attention_layernorm", [["post_attention_layernorm", C]]);
    linear("gate_up_proj", [["mlp.gate_proj", F], ["mlp.up_proj", F]], C, biases.mlp);
    linear("down_proj", [["mlp.down_proj", C]], F, biases.mlp);
  }
  add("norm", null, "norm", [["model.norm.weight", C]]);
  if (!config.tieWordEmbeddings) add("head", null, "lm_head", [["lm_head.weight", V]], [C]);
  return table;
}

/** Name and shape of every tensor that a checkpoint of this model holds, matrices as [output, input]. */
export function checkpointTensors(config: ModelConfig): { name: string; shape: number[] }[] {
  return parameterTable(config).flatMap(({ checkpoint }) =>
    checkpoint.map(({ name, shape }) => ({ name, shape }))
  );
}
