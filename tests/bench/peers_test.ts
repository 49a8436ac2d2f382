import assert from "node:assert/strict";
import { SMALL } from "../../src/bench/models.ts";
import { equalPairs } from "../../src/bench/pairs.ts";
import { benchPeers } from "../../src/bench/peers.ts";
import { noiseWeights } from "../../src/bench/training.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { gpu } from "../kernels/harness.ts";

Deno.test("a peer that computes something else has no speed", async () => {
  const sizes = { hidden_size: 32, num_attention_heads: 2, intermediate_size: 48, vocab_size: 96 };
  const config = parseModelConfig({ ...SMALL.raw, ...sizes });
  const training = {
    directory: "tiny",
    checkpoint: { config, read: noiseWeights(config) },
    pairs: equalPairs(2, 12, 5, config.vocabSize),
  };
  const asked: unknown[] = [];
  const peer = {
    hello: {},
    ask(question: unknown) {
      asked.push(question);
      return Promise.resolve({ milliseconds: 1, losses: [Math.LN2, 0.5], norms: [1, 1] });
    },
  };
  const some = { products: [], turns: 1, steps: 1 };
  await assert.rejects(
    () => benchPeers(gpu, "f32", peer, some, training),
    /steps are other ones.*losses 0\.69\d*, 0\.5, ours 0\.69/,
  );
  const { pairs } = asked[0] as { pairs: { chosen: { ids: number[]; promptLength: number } }[] };
  assert.deepEqual(pairs[0].chosen, {
    ids: [...training.pairs[0].chosen.ids],
    promptLength: training.pairs[0].chosen.promptLength,
  });
});
