import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { ARCHITECTURES } from "../../src/model/architectures.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { checkpointTensors } from "../../src/model/params.ts";

const smolLM = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 576,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  intermediate_size: 1536,
  vocab_size: 49152,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  hidden_act: "silu",
  attention_bias: false,
  attention_dropout: 0,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
};

Deno.test("config: SmolLM-135M's fields", () => {
  const { raw, ...config } = parseModelConfig(smolLM);
  assert.equal(raw, smolLM);
  assert.deepEqual(config, {
    architecture: ARCHITECTURES[0],
    biases: { qkv: false, output: false, mlp: false },
    hiddenSize: 576,
    numLayers: 30,
    numHeads: 9,
    numKvHeads: 3,
    headSize: 64,
    intermediateSize: 1536,
    vocabSize: 49152,
    ropeTheta: 10000,
    ropeScaling: null,
    rmsNormEps: 1e-5,
    tieWordEmbeddings: true,
    maxPositionEmbeddings: 2048,
    bosTokenId: 0,
    eosTokenIds: [0],
  });
});

Deno.test("config: transformers' defaults for what is absent or null", () => {
  const config = parseModelConfig({
    model_type: "llama",
    hidden_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    intermediate_size: 12,
    vocab_size: 331,
    eos_token_id: null,
    head_dim: null,
  });
  assert.equal(config.numKvHeads, 4);
  assert.equal(config.headSize, 16);
  assert.equal(config.rmsNormEps, 1e-6);
  assert.equal(config.ropeTheta, 10000);
  assert.equal(config.tieWordEmbeddings, false);
  assert.equal(config.maxPositionEmbeddings, 2048);
  assert.equal(config.bosTokenId, null);
  assert.deepEqual(config.eosTokenIds, []);
});

/** A configuration of another architecture, with only what differs. */
const other = (index: number, fields: Record<string, unknown> = {}) => {
  const { className, modelType } = ARCHITECTURES[index];
  const { attention_bias: _, ...plain } = smolLM;
  return { ...plain, architectures: [className], model_type: modelType, ...fields };
};

Deno.test("config: what transformers takes for absent fields depends on the architecture", () => {
  const absent = { num_key_value_heads: undefined, max_position_embeddings: undefined };
  const shape = (index: number, fields: Record<string, unknown>) => {
    const plain = JSON.parse(JSON.stringify(other(index, { ...absent, ...fields })));
    const { numKvHeads, headSize, maxPositionEmbeddings } = parseModelConfig(plain);
    return [numKvHeads, headSize, maxPositionEmbeddings];
  };
  const heads = { num_attention_heads: 32, hidden_size: 2048 };
  assert.deepEqual(shape(1, { ...heads, sliding_window: null }), [8, 64, 131072]);
  assert.deepEqual(shape(2, heads), [32, 64, 32768]);
  assert.deepEqual(shape(3, heads), [32, 128, 32768]);
});

Deno.test("config: biases and norms of heads make the tensors that transformers has", () => {
  const tensors = (json: Record<string, unknown>) =>
    checkpointTensors(parseModelConfig(json)).map(({ name }) => name)
      .filter((name) => name.includes("layers.0.") && !name.endsWith("_proj.weight"))
      .map((name) => name.replace(/^.*\.(\w+\.\w+)$/, "$1"));
  const norms = ["input_layernorm.weight", "post_attention_layernorm.weight"];
  const qkv = ["q_proj.bias", "k_proj.bias", "v_proj.bias"];
  const [output, mlp] = ["o_proj.bias", ["gate_proj.bias", "up_proj.bias", "down_proj.bias"]];
  const heads = ["q_norm.weight", "k_norm.weight"];
  const cases: [Record<string, unknown>, string[]][] = [
    [smolLM, norms],
    [{ ...smolLM, attention_bias: true }, [...norms, ...qkv, output]],
    [{ ...smolLM, mlp_bias: true }, [...norms, ...mlp]],
    [other(1, { sliding_window: null }), norms],
    [other(1, { sliding_window: 2048 }), norms],
    [other(2), [...norms, ...qkv]],
    [other(3), [...norms, ...heads]],
    [other(3, { attention_bias: true }), [...norms, ...heads, ...qkv, output]],
  ];
  for (const [json, expected] of cases) assert.deepEqual(tensors(json).sort(), expected.sort());
});

Deno.test("config: what other architectures have and this program has not is refused by name", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [
      other(1, { max_position_embeddings: 8192 }),
      /"sliding_window" to be null, or at least .* \(8192\).*not supported, found 4096/,
    ],
    [other(1, { sliding_window: 2047 }), /"sliding_window" to be null.*found 2047/],
    [other(1, { sliding_window: null, attention_bias: true }), /"attention_bias" to be false/],
    [
      other(2, { use_sliding_window: true }),
      /"use_sliding_window" to be false or absent, found true/,
    ],
    [other(2, { mlp_bias: true }), /"mlp_bias" to be false/],
    [other(2, { attention_bias: false }), /"attention_bias" to be true or absent, found false/],
    [other(3, { use_sliding_window: true }), /"use_sliding_window"/],
    [other(3, { model_type: "llama" }), /"model_type" to be qwen3 or absent, found "llama"/],
  ];
  for (const [json, message] of cases) assert.throws(() => parseModelConfig(json), message);
});

Deno.test("config: several end tokens, head_dim of its own", () => {
  const config = parseModelConfig({ ...smolLM, eos_token_id: [0, 2], head_dim: 128 });
  assert.deepEqual(config.eosTokenIds, [0, 2]);
  assert.equal(config.headSize, 128);
});

Deno.test("config: rope scaling in the old and the new spelling", () => {
  const llama3 = {
    factor: 32,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const expected = {
    type: "llama3",
    factor: 32,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 8192,
  };
  const scaling = (fields: unknown) =>
    parseModelConfig({ ...smolLM, ...fields as object }).ropeScaling;
  assert.deepEqual(scaling({ rope_scaling: { ...llama3, rope_type: "llama3" } }), expected);
  assert.deepEqual(scaling({ rope_scaling: { ...llama3, type: "llama3" } }), expected);
  assert.deepEqual(scaling({ rope_parameters: { ...llama3, rope_type: "llama3" } }), expected);
  assert.deepEqual(scaling({ rope_scaling: { type: "linear", factor: 4 } }), {
    type: "linear",
    factor: 4,
  });
  const { rope_theta: _, ...withoutTheta } = smolLM;
  const modern = parseModelConfig({
    ...withoutTheta,
    rope_parameters: { rope_type: "default", rope_theta: 5e5 },
  });
  assert.equal(modern.ropeScaling, null);
  assert.equal(modern.ropeTheta, 5e5);
  // Where both are there, transformers 4 and 5 take the old spelling, and no theta from the new.
  const linear = { type: "linear", factor: 2 };
  const both = parseModelConfig({
    ...withoutTheta,
    rope_scaling: linear,
    rope_parameters: { rope_type: "default", rope_theta: 5e5 },
  });
  assert.deepEqual([both.ropeScaling, both.ropeTheta], [linear, 10000]);
  assert.deepEqual(scaling({ rope_scaling: {}, rope_parameters: linear }), linear);
  assert.equal(parseModelConfig({ ...smolLM, hidden_act: "swish" }).numLayers > 0, true);
});

Deno.test("config: everything unsupported or malformed is refused by name", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ architectures: ["GPT2LMHeadModel"] }, /"architectures".*Qwen3ForCausalLM.*GPT2LMHeadModel/],
    [{ architectures: "LlamaForCausalLM" }, /"architectures"/],
    [{ model_type: "qwen2" }, /"model_type" to be llama or absent, found "qwen2"/],
    [{ architectures: [] }, /"architectures" to contain one of LlamaForCausalLM, .*found \[\]/],
    [{ model_type: undefined, architectures: undefined }, /"model_type" of llama, .*found nothing/],
    [{ model_type: "gemma", architectures: undefined }, /"model_type" of llama, .*found "gemma"/],
    [{ attention_bias: "yes" }, /"attention_bias" to be true or false/],
    [{ layer_types: ["full_attention", "sliding_attention"] }, /"layer_types" to be a list/],
    [{ attention_dropout: 0.1 }, /"attention_dropout"/],
    [{ hidden_act: "gelu" }, /"hidden_act" to be silu or absent, found "gelu"/],
    [{ quantization_config: { bits: 4 } }, /"quantization_config"/],
    [{ partial_rotary_factor: 0.5 }, /"partial_rotary_factor"/],
    [{ rope_scaling: { type: "dynamic", factor: 2 } }, /rope scaling.*"dynamic"/],
    [{ rope_scaling: { rope_type: "yarn", factor: 2 } }, /rope scaling.*"yarn"/],
    [{ rope_parameters: { rope_type: "longrope" } }, /rope scaling.*"longrope"/],
    [{ rope_scaling: { type: "linear" } }, /"factor" to be a positive number, found nothing/],
    [{ rope_scaling: { type: "llama3", factor: 8 } }, /"low_freq_factor"/],
    [
      { rope_scaling: { type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 } },
      /"high_freq_factor" to be above low_freq_factor/,
    ],
    [{ rope_scaling: "linear" }, /"rope_scaling" to be an object, found "linear"/],
    [{ rope_parameters: { rope_theta: 5 } }, /one "rope_theta", found 10000 and/],
    [{ hidden_size: undefined }, /"hidden_size" to be a positive integer, found nothing/],
    [{ hidden_size: "576" }, /"hidden_size" to be a positive integer, found "576"/],
    [{ hidden_size: 0 }, /"hidden_size"/],
    [{ num_hidden_layers: 2.5 }, /"num_hidden_layers"/],
    [{ hidden_size: 90 }, /"hidden_size" to be a multiple of 4/],
    [{ intermediate_size: 1537 }, /"intermediate_size" to be a multiple of 4/],
    [{ num_key_value_heads: 2 }, /"num_key_value_heads" to be a divisor/],
    [{ head_dim: 12 }, /head size.*found 12/],
    [{ head_dim: 256 }, /head size.*found 256/],
    [{ num_attention_heads: 7, num_key_value_heads: 7 }, /head size/],
    [{ rms_norm_eps: -1 }, /"rms_norm_eps"/],
    [{ tie_word_embeddings: "yes" }, /"tie_word_embeddings" to be true or false/],
    [{ eos_token_id: 49152 }, /"eos_token_id" to be token ids from 0 to 49151, found 49152/],
    [{ eos_token_id: ["x"] }, /"eos_token_id"/],
    [{ bos_token_id: -1 }, /"bos_token_id"/],
  ];
  for (const [fields, message] of cases) {
    assert.throws(() => parseModelConfig({ ...smolLM, ...fields }, "m/config.json"), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      assert.match(error.message, /^m\/config\.json/);
      return true;
    });
  }
  assert.throws(() => parseModelConfig([]), /expected a JSON object, found a list of 0/);
});
