import assert from "node:assert/strict";
import { cacheKey } from "../../src/formats/cache.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { identifyConfig } from "../../src/train/identity.ts";

const raw = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  intermediate_size: 96,
  vocab_size: 300,
};

Deno.test("a Llama has the identity that checkpoints of before other architectures tell", async () => {
  // What the digest was computed of then, in that order.
  const then = {
    hiddenSize: 64,
    numLayers: 3,
    numHeads: 4,
    numKvHeads: 4,
    headSize: 16,
    intermediateSize: 96,
    vocabSize: 300,
    ropeTheta: 10000,
    ropeScaling: null,
    rmsNormEps: 1e-6,
    tieWordEmbeddings: false,
    maxPositionEmbeddings: 2048,
    bosTokenId: null,
    eosTokenIds: [],
    raw,
  };
  assert.equal(await identifyConfig(parseModelConfig(raw)), await cacheKey(then));
});

Deno.test("biases and the architecture make another model", async () => {
  const identities = await Promise.all([
    raw,
    { ...raw, attention_bias: true },
    { ...raw, mlp_bias: true },
    { ...raw, architectures: ["Qwen2ForCausalLM"], model_type: "qwen2", num_key_value_heads: 4 },
  ].map((json) => identifyConfig(parseModelConfig(json))));
  assert.equal(new Set(identities).size, identities.length);
});
