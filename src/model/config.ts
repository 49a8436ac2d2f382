// This module is browser compatible.

import { UserError } from "../errors.ts";
import { describe, isObject } from "../formats/json.ts";
import { type Architecture, ARCHITECTURES } from "./architectures.ts";

/** How rotary frequencies are stretched beyond the context that the model was first trained with. */
export type RopeScaling =
  | { type: "linear"; factor: number }
  | {
    type: "llama3";
    factor: number;
    lowFreqFactor: number;
    highFreqFactor: number;
    originalMaxPositionEmbeddings: number;
  };

/** The shape of a model: what `config.json` says, checked, with Hugging Face's defaults filled in. */
export interface ModelConfig {
  architecture: Architecture;
  /** C. A multiple of 4. */
  hiddenSize: number;
  /** L. */
  numLayers: number;
  /** NH. A multiple of `numKvHeads`. */
  numHeads: number;
  /** NKV. */
  numKvHeads: number;
  /** HS. A multiple of 8, at most 128. */
  headSize: number;
  /** F. A multiple of 4. */
  intermediateSize: number;
  /** V. */
  vocabSize: number;
  ropeTheta: number;
  ropeScaling: RopeScaling | null;
  rmsNormEps: number;
  /** Which matrices have biases: of queries, keys and values; of attention's output; of gate, up and down. */
  biases: { qkv: boolean; output: boolean; mlp: boolean };
  /** Whether the head is the embedding matrix itself. */
  tieWordEmbeddings: boolean;
  maxPositionEmbeddings: number;
  bosTokenId: number | null;
  /** Ids that end a text; empty if the file names none. */
  eosTokenIds: number[];
  /** `config.json` as it was read: saving keeps the fields that nothing here looks at. */
  raw: Record<string, unknown>;
}

/**
 * Reads a `config.json` of one of the {@link ARCHITECTURES}.
 *
 * @param json The parsed file.
 * @param name How messages call the file.
 * @throws {UserError} If a field is missing, malformed, or asks for something that is not supported; the message names it.
 */
export function parseModelConfig(json: unknown, name = "config.json"): ModelConfig {
  if (!isObject(json)) {
    throw new UserError(`${name}: expected a JSON object, found ${describe(json)}`);
  }
  const architecture = architectureOf(new Fields(json, name));
  const fields = new Fields({ ...architecture.defaults, ...json }, name);
  refuseUnsupported(fields, architecture);

  const hiddenSize = fields.count("hidden_size");
  const numHeads = fields.count("num_attention_heads");
  const numKvHeads = fields.count("num_key_value_heads", numHeads);
  // A fraction falls through to the check of the head size below.
  const headSize = fields.json.head_dim ? fields.count("head_dim") : hiddenSize / numHeads;
  const intermediateSize = fields.count("intermediate_size");
  const vocabSize = fields.count("vocab_size");
  fields.expect(hiddenSize % 4 === 0, "hidden_size", "a multiple of 4");
  fields.expect(intermediateSize % 4 === 0, "intermediate_size", "a multiple of 4");
  fields.expect(
    numHeads % numKvHeads === 0,
    "num_key_value_heads",
    `a divisor of num_attention_heads (${numHeads})`,
  );
  if (headSize % 8 !== 0 || headSize > 128) {
    throw new UserError(
      `${name}: expected a head size (head_dim, else hidden_size / num_attention_heads) that is a multiple of 8 ` +
        `up to 128, found ${headSize}`,
    );
  }

  const bias = (rule: boolean | string) => typeof rule === "string" ? fields.flag(rule) : rule;
  return {
    architecture,
    hiddenSize,
    numLayers: fields.count("num_hidden_layers"),
    numHeads,
    numKvHeads,
    headSize,
    intermediateSize,
    vocabSize,
    ...parseRope(fields),
    rmsNormEps: fields.positive("rms_norm_eps", 1e-6),
    biases: {
      qkv: bias(architecture.biases.qkv),
      output: bias(architecture.biases.output),
      mlp: bias(architecture.biases.mlp),
    },
    tieWordEmbeddings: fields.flag("tie_word_embeddings"),
    maxPositionEmbeddings: fields.count("max_position_embeddings"),
    bosTokenId: fields.tokenIds("bos_token_id", vocabSize)[0] ?? null,
    eosTokenIds: fields.tokenIds("eos_token_id", vocabSize),
    raw: json,
  };
}

/** The row that `architectures` names, or `model_type` where there is no such field. */
function architectureOf({ json, name }: Fields): Architecture {
  const classes = ARCHITECTURES.map(({ className }) => className).join(", ");
  const named = json.architectures ?? null;
  if (named !== null) {
    const found = Array.isArray(named) &&
      ARCHITECTURES.find(({ className }) => named.includes(className));
    if (found) return found;
    throw new UserError(
      `${name}: expected "architectures" to contain one of ${classes}, found ${
        JSON.stringify(named)
      }; other architectures are not supported`,
    );
  }
  const found = ARCHITECTURES.find(({ modelType }) => modelType === json.model_type);
  if (found) return found;
  throw new UserError(
    `${name}: expected "architectures" with one of ${classes}, or a "model_type" of ${
      ARCHITECTURES.map(({ modelType }) => modelType).join(", ")
    }, found ${describe(json.model_type)}; other architectures are not supported`,
  );
}

function refuseUnsupported(fields: Fields, { modelType, biases, slidingWindow }: Architecture) {
  fields.require("model_type", modelType);
  if (fields.json.hidden_act !== "swish") fields.require("hidden_act", "silu"); // one function
  if (typeof biases.qkv === "boolean") fields.require("attention_bias", biases.qkv);
  if (typeof biases.mlp === "boolean") fields.require("mlp_bias", biases.mlp);
  fields.require("attention_dropout", 0);
  fields.require("partial_rotary_factor", 1);
  fields.require("quantization_config", null);
  if (slidingWindow === "switch") fields.require("use_sliding_window", false);
  if (slidingWindow === "window") refuseWindow(fields);
  const { layer_types: types } = fields.json;
  fields.expect(
    types === undefined || types === null ||
      Array.isArray(types) && types.every((type) => type === "full_attention"),
    "layer_types",
    'a list of "full_attention" or absent',
  );
}

/** A window that holds the longest text changes nothing. */
function refuseWindow(fields: Fields): void {
  const window = fields.json.sliding_window ?? null;
  if (window === null) return;
  const longest = fields.count("max_position_embeddings");
  fields.expect(
    fields.count("sliding_window") >= longest,
    "sliding_window",
    `null, or at least max_position_embeddings (${longest}), as attention within a window is not supported`,
  );
}

function parseRope(fields: Fields): Pick<ModelConfig, "ropeTheta" | "ropeScaling"> {
  // transformers 5 gathers theta and scaling in `rope_parameters`; before, they were two fields. Where both are there, all
  // versions take the old one.
  const isThere = (field: unknown) =>
    (field ?? null) !== null && !(isObject(field) && Object.keys(field).length === 0);
  const key = isThere(fields.json.rope_scaling) || !isObject(fields.json.rope_parameters)
    ? "rope_scaling"
    : "rope_parameters";
  const rope = isThere(fields.json[key]) ? fields.json[key] : null;
  const outerTheta = fields.positive("rope_theta", 10000);
  if (rope === null) return { ropeTheta: outerTheta, ropeScaling: null };
  if (!isObject(rope)) {
    throw new UserError(
      `${fields.name}: expected "${key}" to be an object, found ${describe(rope)}`,
    );
  }
  const inner = new Fields(rope, `${fields.name}, ${key}`);
  inner.require("partial_rotary_factor", 1);
  const ropeTheta = inner.positive("rope_theta", outerTheta);
  if (fields.json.rope_theta !== undefined && ropeTheta !== outerTheta) {
    throw new UserError(
      `${fields.name}: expected one "rope_theta", found ${outerTheta} and, in "${key}", ${ropeTheta}`,
    );
  }

  const type = rope.rope_type ?? rope.type ?? "default";
  switch (type) {
    case "default":
      return { ropeTheta, ropeScaling: null };
    case "linear":
      return { ropeTheta, ropeScaling: { type: "linear", factor: inner.positive("factor") } };
    case "llama3": {
      const lowFreqFactor = inner.positive("low_freq_factor");
      const highFreqFactor = inner.positive("high_freq_factor");
      inner.expect(
        highFreqFactor > lowFreqFactor,
        "high_freq_factor",
        `above low_freq_factor (${lowFreqFactor})`,
      );
      return {
        ropeTheta,
        ropeScaling: {
          type: "llama3",
          factor: inner.positive("factor"),
          lowFreqFactor,
          highFreqFactor,
          originalMaxPositionEmbeddings: inner.count("original_max_position_embeddings"),
        },
      };
    }
    default:
      throw new UserError(
        `${fields.name}: expected rope scaling of type "default", "linear" or "llama3", found ${
          describe(type)
        }`,
      );
  }
}

/** Typed access to the fields of an object; every complaint names the field. JSON null counts as absent. */
class Fields {
  constructor(readonly json: Record<string, unknown>, readonly name: string) {}

  expect(condition: boolean, field: string, expected: string): void {
    if (condition) return;
    throw new UserError(
      `${this.name}: expected "${field}" to be ${expected}, found ${describe(this.json[field])}`,
    );
  }

  /** Accepts an absent field or the one supported value. */
  require(field: string, supported: string | number | boolean | null): void {
    const value = this.json[field] ?? supported;
    if (value === supported) return;
    throw new UserError(
      `${this.name}: expected "${field}" to be ${supported} or absent, found ${
        describe(value)
      }; other values are not supported`,
    );
  }

  /** A positive integer. */
  count(field: string, otherwise?: number): number {
    const value = this.json[field] ?? otherwise;
    this.expect(Number.isSafeInteger(value) && (value as number) > 0, field, "a positive integer");
    return value as number;
  }

  /** A positive number. */
  positive(field: string, otherwise?: number): number {
    const value = this.json[field] ?? otherwise;
    this.expect(
      typeof value === "number" && value > 0 && Number.isFinite(value),
      field,
      "a positive number",
    );
    return value as number;
  }

  /** A truth value, false if absent. */
  flag(field: string): boolean {
    const value = this.json[field] ?? false;
    this.expect(typeof value === "boolean", field, "true or false");
    return value as boolean;
  }

  /** A token id or a list of them. */
  tokenIds(field: string, vocabSize: number): number[] {
    const ids = [this.json[field] ?? []].flat() as number[];
    const valid = ids.every((id) => Number.isSafeInteger(id) && id >= 0 && id < vocabSize);
    this.expect(valid, field, `token ids from 0 to ${vocabSize - 1}`);
    return ids;
  }
}
