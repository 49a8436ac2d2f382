/** The whole model on the GPU against the whole model in double precision: scores, and gradients by finite differences. */
import assert from "node:assert/strict";
import type { Options } from "../../src/config/resolve.ts";
import type { PreferencePair } from "../../src/data/pairs.ts";
import { scorePairs } from "../../src/dpo/evaluate.ts";
import { LOSS_TYPES, LOSSES, pairLosses } from "../../src/losses/losses.ts";
import { meanChosenTokens, type ScoreOptions } from "../../src/dpo/pack.ts";
import { type Checkpoint, loadModel } from "../../src/model/load.ts";
import { startDpo, startSft } from "../../src/train/training.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { gpu, random } from "../kernels/harness.ts";
import { sequenceScore, type Tensors, tokenLogprobs } from "../reference/model.ts";
import {
  awkwardPairs,
  options,
  randomCheckpoint,
  randomPairs,
  smallConfig,
  takeStep,
  tensorsOf,
  textRow,
} from "./small_models.ts";

const llama3 = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 32,
};

/** Head sizes, groups of heads, vocabularies and rotary scalings that share no common factor. */
const MODELS: Record<string, Record<string, unknown>> = {
  "head size 8, 3 of 3 heads, untied, prime vocabulary": {
    hidden_size: 24,
    num_key_value_heads: 3,
    intermediate_size: 20,
    vocab_size: 101,
    tie_word_embeddings: false,
  },
  "head size 16, 3 heads on 1, tied": {},
  "head size 24, 9 heads on 3, untied, linear rope scaling": {
    hidden_size: 36,
    head_dim: 24,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 111,
    tie_word_embeddings: false,
    rope_scaling: { rope_type: "linear", factor: 2 },
  },
  "head size 64, 3 heads on 1, tied, llama3 rope scaling": {
    hidden_size: 64,
    head_dim: 64,
    vocab_size: 211,
    rope_theta: 5e4,
    rope_scaling: llama3,
  },
  "Llama with all biases, untied": {
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: false,
  },
  "Qwen2, tied": { model_type: "qwen2", num_attention_heads: 6, num_key_value_heads: 2 },
  "Qwen3, heads wider than the stream, tied": {
    model_type: "qwen3",
    head_dim: 24,
    num_attention_heads: 4,
    num_key_value_heads: 2,
  },
};

const SCORES: ScoreOptions[] = (["completion", "all"] as const).flatMap((scope) =>
  (["sum", "mean"] as const).map((reduction) => ({ scope, reduction }))
);

for (const [name, fields] of Object.entries(MODELS)) {
  Deno.test(`scores equal the reference: ${name}`, async () => {
    const checkpoint = randomCheckpoint(smallConfig(fields), 1);
    const pairs = [...randomPairs(2, 3, checkpoint.config.vocabSize, 40), ...awkwardPairs()];
    const model = await loadModel(gpu, checkpoint, { precision: "f32", positions: 64 });
    const tensors = await tensorsOf(checkpoint);
    let row = 0;
    for await (const found of scorePairs(model, pairs)) {
      for (const side of ["chosen", "rejected"] as const) {
        const { ids, promptLength } = pairs[row][side];
        const logprobs = tokenLogprobs(checkpoint.config, tensors, ids);
        for (const { scope, reduction } of SCORES) {
          const expected = sequenceScore(logprobs, promptLength, { scope, reduction });
          const key = scope === "all" ? `all_${reduction}` as const : reduction;
          const error = Math.abs(found[side][key] - expected);
          assert.ok(error < 1e-4 + 2e-5 * Math.abs(expected), `${side} ${key}: ${error} off`);
        }
      }
      assert.equal(found.index, pairs[row++].index);
    }
    assert.equal(row, pairs.length);
  });
}

/** A loss of all weights, in double precision. */
type Loss = (tensors: Tensors) => number;

/** @param policy Of single answers: where the scores of others' answers are held. */
function dpoLossOf(
  config: ModelConfig,
  pairs: readonly PreferencePair[],
  reference: Tensors,
  options: Options<"train">,
  policy?: Tensors,
): Loss {
  const score: ScoreOptions = { scope: options.score, reduction: options.logprob };
  const scores = (tensors: Tensors) =>
    pairs.map(({ chosen, rejected }) =>
      [chosen, rejected].map(({ ids, promptLength }) =>
        sequenceScore(tokenLogprobs(config, tensors, ids), promptLength, score)
      )
    );
  const theirs = scores(reference);
  const held = policy && scores(policy);
  return (tensors) => {
    const all = scores(tensors).map(([chosen, rejected], i) => {
      const [referenceChosen, referenceRejected] = theirs[i];
      // No gradient goes through the scores of others' answers.
      const { label } = pairs[i];
      const other = label === undefined ? rejected : held![i][1];
      return { chosen, rejected: other, referenceChosen, referenceRejected, label };
    });
    return pairLosses(options, all, meanChosenTokens(pairs, score)).reduce(
      (sum, { value }) => sum + value / pairs.length,
      0,
    );
  };
}

/** The derivative of the loss along `direction`, by a central difference of fourth order. */
function slope(loss: Loss, tensors: Tensors, direction: ReadonlyMap<string, Float64Array>): number {
  const h = 1e-3;
  const at = (steps: number) =>
    loss(
      new Map([...tensors].map(([name, values]) => {
        const along = direction.get(name);
        return [name, along ? along.map((d, i) => values[i] + steps * h * d) : values];
      })),
    );
  return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h);
}

/** A random direction of length 1 through one tensor. */
function directionOf(seed: number, length: number): Float64Array {
  const next = random(seed);
  const direction = Float64Array.from({ length }, next);
  const norm = Math.hypot(...direction);
  return direction.map((value) => value / norm);
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/** Compares the GPU's gradient of every tensor with the reference's slope along a direction of its own. */
async function checkGradients(
  checkpoint: Checkpoint,
  gradients: ReadonlyMap<string, Float32Array>,
  loss: Loss,
): Promise<void> {
  const tensors = await tensorsOf(checkpoint);
  assert.deepEqual([...gradients.keys()], [...tensors.keys()], "every tensor has a gradient");
  for (const [i, [name, gradient]] of [...gradients].entries()) {
    const direction = directionOf(i, gradient.length);
    const norm = Math.sqrt(dot(gradient, gradient));
    assert.ok(norm > 1e-4, `${name}: gradient of ${norm} says nothing`);
    const expected = slope(loss, tensors, new Map([[name, direction]]));
    // An error e of the gradient shows in one of n directions, as |e| / sqrt(n).
    const error = Math.abs(dot(gradient, direction) - expected) * Math.sqrt(gradient.length) / norm;
    assert.ok(error < 2e-5, `${name}: slope ${expected}, ${error} of the gradient's norm off`);
  }
}

for (const [name, fields] of Object.entries(MODELS)) {
  Deno.test(`DPO gradients equal finite differences: ${name}`, async () => {
    const checkpoint = randomCheckpoint(smallConfig(fields), 3);
    const reference = randomCheckpoint(checkpoint.config, 4);
    const pairs = randomPairs(5, 2, checkpoint.config.vocabSize);
    const flags = { beta: 0.5, "max-length": 64, "max-grad-norm": 0, "weight-decay": 0 };
    const all = options("train", flags);
    const training = await startDpo(gpu, checkpoint, reference, pairs, all, "f32");
    const { metrics, gradients } = await takeStep(training, [0, 1]);
    const loss = dpoLossOf(checkpoint.config, pairs, await tensorsOf(reference), all);
    const expected = loss(await tensorsOf(checkpoint));
    assert.ok(Math.abs(metrics.loss - expected) < 1e-5 + 5e-5 * expected, `loss ${metrics.loss}`);
    await checkGradients(checkpoint, gradients, loss);
  });

  Deno.test(`next-token gradients equal finite differences: ${name}`, async () => {
    const checkpoint = randomCheckpoint(smallConfig(fields), 6);
    const { config } = checkpoint;
    const sequences = randomPairs(7, 2, config.vocabSize).map(textRow);
    const scope = config.tieWordEmbeddings ? "all" : "completion";
    const flags = { score: scope, "max-length": 64, "max-grad-norm": 0 };
    const training = await startSft(gpu, checkpoint, sequences, options("sft", flags), "f32");
    const { metrics, gradients } = await takeStep(training, [0, 1]);
    const loss = (tensors: Tensors) => {
      const logprobs = sequences.flatMap(({ ids, promptLength }) => {
        const all = tokenLogprobs(config, tensors, ids);
        return [...scope === "all" ? all : all.subarray(promptLength - 1)];
      });
      return -logprobs.reduce((a, b) => a + b, 0) / logprobs.length;
    };
    const expected = loss(await tensorsOf(checkpoint));
    assert.ok(Math.abs(metrics.loss - expected) < 1e-5 + 5e-5 * expected, `loss ${metrics.loss}`);
    await checkGradients(checkpoint, gradients, loss);
  });
}

Deno.test("a head of its own on a tied model: head and embedding have gradients of their own", async () => {
  const checkpoint = randomCheckpoint(smallConfig(), 11);
  const reference = randomCheckpoint(checkpoint.config, 12);
  const pairs = awkwardPairs();
  const all = options("train", { head: "untied", beta: 0.5, "max-grad-norm": 0, "max-length": 64 });
  const training = await startDpo(gpu, checkpoint, reference, pairs, all, "f32");
  const { gradients } = await takeStep(training, [...pairs.keys()]);
  const untied = {
    config: { ...checkpoint.config, tieWordEmbeddings: false },
    read: (name: string) =>
      checkpoint.read(name === "lm_head.weight" ? "model.embed_tokens.weight" : name),
  };
  const theirs = await tensorsOf({ ...reference, config: checkpoint.config });
  const loss = dpoLossOf(
    untied.config,
    pairs,
    new Map([...theirs, ["lm_head.weight", theirs.get("model.embed_tokens.weight")!]]),
    all,
  );
  await checkGradients(untied, gradients, loss);
});

Deno.test("every loss, sum or mean, completion or all: the gradient equals finite differences", async () => {
  const checkpoint = randomCheckpoint(smallConfig({ num_hidden_layers: 1 }), 8);
  const reference = randomCheckpoint(checkpoint.config, 9);
  const pairs = randomPairs(10, 3, checkpoint.config.vocabSize, 12);
  const tensors = await tensorsOf(checkpoint);
  const theirs = await tensorsOf(reference);
  for (const [i, lossType] of LOSS_TYPES.entries()) {
    // What a loss makes of scores does not depend on how they are made, so one of them sees all.
    for (const score of i === 0 ? SCORES : [SCORES[i % SCORES.length]]) {
      const all = options("train", {
        beta: score.reduction === "sum" ? 0.2 : 2,
        "loss-type": lossType,
        ...LOSSES[lossType].reads.includes("labelSmoothing") && { "label-smoothing": 0.1 },
        logprob: score.reduction,
        score: score.scope,
        "max-length": 64,
      });
      const isSingle = LOSSES[lossType].answers !== undefined;
      const rows = isSingle ? pairs.map((pair, i) => ({ ...pair, label: i !== 1 })) : pairs;
      const training = await startDpo(gpu, checkpoint, reference, rows, all, "f32");
      const { metrics, gradients } = await takeStep(training, [0, 1, 2]);
      const loss = dpoLossOf(checkpoint.config, rows, theirs, all, tensors);
      const what = `${lossType} of ${score.reduction} over ${score.scope}`;
      const expected = loss(tensors);
      assert.ok(
        Math.abs(metrics.loss - expected) < 1e-5 + 5e-5 * Math.abs(expected),
        `${what}: loss ${metrics.loss}, expected ${expected}`,
      );
      const directions = new Map(
        [...gradients].map((
          [name, gradient],
          i,
        ) => [name, directionOf(100 + i, gradient.length)]),
      );
      let found = 0;
      let square = 0;
      for (const [name, gradient] of gradients) {
        found += dot(gradient, directions.get(name)!);
        square += dot(gradient, gradient);
      }
      const error = Math.abs(found - slope(loss, tensors, directions)) / Math.sqrt(square);
      assert.ok(error < 2e-5, `${what}: slope ${found}, ${error} of the gradient's norm off`);
    }
  }
});
