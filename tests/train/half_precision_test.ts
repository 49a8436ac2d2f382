/** f16 operands against f32: the gradient of every tensor keeps its direction and its length. */
import assert from "node:assert/strict";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { loadPairs } from "../../src/data/pairs.ts";
import { readRows } from "../../src/data/rows.ts";
import type { Checkpoint } from "../../src/model/load.ts";
import { startDpo } from "../../src/train/training.ts";
import { openModel } from "../../src/model/directory.ts";
import { randomWeights } from "../../src/model/random_weights.ts";
import { openDataset } from "../../src/platform/datasets.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { gpu, lackOfF16 } from "../kernels/harness.ts";
import {
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
  tensorsOf,
} from "../model/small_models.ts";
import { unless } from "../skip.ts";

type Gradients = Map<string, Float32Array>;
type Precision = "f32" | "f16";

/** The worst cosine and relative difference in length between the gradients of any tensor. */
function compare(half: Gradients, full: Gradients): void {
  for (const [name, expected] of full) {
    const found = half.get(name)!;
    let dot = 0;
    let squareFound = 0;
    let squareExpected = 0;
    for (let i = 0; i < expected.length; i++) {
      dot += found[i] * expected[i];
      squareFound += found[i] ** 2;
      squareExpected += expected[i] ** 2;
    }
    const cosine = dot / Math.sqrt(squareFound * squareExpected);
    const stretch = Math.sqrt(squareFound / squareExpected) - 1;
    assert.ok(cosine > 0.9999, `${name}: cosine ${cosine}`);
    assert.ok(Math.abs(stretch) < 0.01, `${name}: ${100 * stretch} % longer`);
  }
}

async function gradientsOf(
  checkpoint: Checkpoint,
  pairs: readonly PreferencePair[],
  precision: Precision,
  flags: Record<string, string | number> = {},
): Promise<Gradients> {
  const all = options("train", { "max-length": 128, ...flags });
  const training = await startDpo(gpu, checkpoint, null, pairs, all, precision);
  return (await takeStep(training, [...pairs.keys()])).gradients;
}

const shape = { max_position_embeddings: 128, initializer_range: 0.02 };
const SHAPES = {
  /** Its proportions with 2 layers, and a vocabulary of 2048: a software adapter would take minutes for 49152. */
  SmolLM: smallConfig({
    ...shape,
    hidden_size: 576,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    intermediate_size: 1536,
    vocab_size: 2048,
  }),
  /** Of Qwen3-0.6B's kind, with biases. */
  Qwen3: smallConfig({
    ...shape,
    model_type: "qwen3",
    attention_bias: true,
    hidden_size: 128,
    head_dim: 64,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 384,
    vocab_size: 512,
  }),
};

for (const [name, config] of Object.entries(SHAPES)) {
  Deno.test({
    ...unless(lackOfF16, `f16 gradients are f32 gradients: ${name}'s shape, random weights`),
    async fn() {
      const weights = await tensorsOf({ config, read: randomWeights(config, 1) });
      const checkpoint = {
        config,
        async *read(name: string) {
          yield weights.get(name)!;
        },
      };
      const pairs = randomPairs(2, 2, config.vocabSize, 24);
      compare(
        await gradientsOf(checkpoint, pairs, "f16"),
        await gradientsOf(checkpoint, pairs, "f32"),
      );
    },
  });
}

for (const loss of ["kto", "apo_zero_unpaired"]) {
  Deno.test({
    ...unless(lackOfF16, `f16 gradients are f32 gradients: single answers, ${loss}`),
    async fn() {
      const checkpoint = randomCheckpoint(smallConfig({ ...shape, hidden_size: 96 }), 1);
      const answers = randomPairs(2, 5, checkpoint.config.vocabSize, 24)
        .map((pair, i) => ({ ...pair, label: i % 2 === 0 }));
      const of = (precision: Precision) =>
        gradientsOf(checkpoint, answers, precision, { "loss-type": loss });
      compare(await of("f16"), await of("f32"));
    },
  });
}

const MODEL = "fixtures/model";
const shipped = await (await openDirectory(MODEL)).has("model.safetensors");
const lackOfModel = shipped ? null : `no ${MODEL}/model.safetensors`;

Deno.test({
  ...unless(lackOfF16 ?? lackOfModel, "f16 gradients are f32 gradients: the shipped model"),
  async fn() {
    const directory = await openDirectory(MODEL);
    const model = await openModel(directory);
    const { pairs } = await loadPairs(
      readRows(await openDataset("fixtures/pairs/eval.jsonl")),
      await loadTokenizer(directory),
      {
        maxLengthTokens: 128,
        truncation: "keep_start",
        appendEos: true,
        score: "completion",
        vocabSize: model.config.vocabSize,
      },
    );
    const checkpoint = { config: model.config, read: model.readChunks };
    const batch = pairs.slice(0, 8);
    compare(
      await gradientsOf(checkpoint, batch, "f16"),
      await gradientsOf(checkpoint, batch, "f32"),
    );
    model.close();
  },
});
