/** The golden cases through the public commands. */
import assert from "node:assert/strict";
import { loadPairs } from "../../src/data/pairs.ts";
import { readRows } from "../../src/data/rows.ts";
import type { PairScore } from "../../src/dpo/evaluate.ts";
import { LOSSES, pairLosses } from "../../src/losses/losses.ts";
import { startDpo } from "../../src/train/training.ts";
import { openModel } from "../../src/model/directory.ts";
import { openDataset } from "../../src/platform/datasets.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { parseFlags } from "../../src/cli/flags.ts";
import { resolveOptions } from "../../src/config/resolve.ts";
import { gpu } from "../kernels/harness.ts";
import { takeStep } from "../model/small_models.ts";
import { inTemporaryDirectory, jsonLines, runOk } from "./command.ts";
import {
  assertNear,
  type GoldenCase,
  goldenCases,
  l2,
  lossFlags,
  probe,
  recipeFlags,
  type ScoreName,
  TOLERANCE,
  type Variant,
  writeDataset,
} from "./golden.ts";

const cases = await goldenCases();

/** A score of a pair's side as `score` writes it, by its name in the golden files. */
function scoreOf(pair: PairScore, side: "chosen" | "rejected", name: ScoreName): number {
  const keys = {
    mean_all: "all_mean",
    sum_all: "all_sum",
    sum_completion: "sum",
    mean_completion: "mean",
  } as const;
  return pair[side][keys[name]];
}

async function score(model: string, dataset: string, ...flags: (string | number)[]) {
  const { stdout } = await runOk("score", "--model", model, "--dataset", dataset, ...flags);
  return jsonLines<PairScore>(stdout);
}

const SIDES = ["chosen", "rejected"] as const;
const MODELS = ["policy", "reference"] as const;

for (const golden of cases) {
  const { name, path, expected } = golden;
  const lengthFlags = golden.maxLength ? ["--max-length", golden.maxLength] : [];

  Deno.test(`golden ${name}: score, from token ids and from text`, () =>
    inTemporaryDirectory(async (directory) => {
      const dataset = await writeDataset(`${directory}/pairs.jsonl`, golden.pairs);
      const policy = await score(`${path}/model`, dataset);
      const reference = golden.reference ? await score(golden.reference, dataset) : policy;
      const found = { policy, reference };
      assert.equal(found.policy.length, expected.scores.length);
      for (const [i, byModel] of expected.scores.entries()) {
        for (const model of MODELS) {
          for (const side of SIDES) {
            for (const [key, value] of Object.entries(byModel[model][side])) {
              const ours = scoreOf(found[model][i], side, key as ScoreName);
              assertNear(ours, value, TOLERANCE.score, `pair ${i}, ${model}, ${side}, ${key}`);
            }
          }
        }
      }
      for (const entry of expected.losses) {
        const pairs = entry.per_pair.map((_, i) => {
          const of = (model: typeof MODELS[number], side: typeof SIDES[number]) =>
            scoreOf(found[model][i], side, entry.score);
          return {
            chosen: of("policy", "chosen"),
            rejected: of("policy", "rejected"),
            referenceChosen: of("reference", "chosen"),
            referenceRejected: of("reference", "rejected"),
          };
        });
        const flags = parseFlags(lossFlags(entry).map(String)).given;
        const { options } = resolveOptions("eval", { flags });
        const values = pairLosses(options, pairs, 1).map(({ value }) => value);
        for (const [i, value] of values.entries()) {
          assertNear(value, entry.per_pair[i], TOLERANCE.loss, `${entry.loss} of pair ${i}`);
        }
        const mean = values.reduce((a, b) => a + b) / values.length;
        assertNear(mean, entry.mean, TOLERANCE.loss, entry.loss);
      }
      if (golden.hasText) {
        const rows = (await Deno.readTextFile(`${path}/text.jsonl`)).split("\n").slice(0, 12);
        await Deno.writeTextFile(`${directory}/text.jsonl`, rows.join("\n"));
        const flags = ["--no-append-eos", ...lengthFlags];
        const fromText = await score(`${path}/model`, `${directory}/text.jsonl`, ...flags);
        assert.deepEqual(fromText, found.policy.slice(0, rows.length));
      }
    }));

  Deno.test(`golden ${name}: eval gives the losses`, () =>
    inTemporaryDirectory(async (directory) => {
      for (const [i, entry] of expected.losses.entries()) {
        // Scores make losses everywhere alike, so every loss is asked of one of the cases.
        if (i % cases.length !== cases.indexOf(golden)) continue;
        const [, scope] = entry.score.split("_");
        // `eval` leaves out pairs in which nothing counts; they contribute the loss of a tie.
        const used = golden.pairs.slice(0, entry.pairs).map((pair, index) => ({ pair, index }))
          .filter(({ pair }) =>
            scope === "all" ||
            SIDES.every((side) => pair[side].length > pair[`${side}_prompt_length`])
          );
        const dataset = await writeDataset(
          `${directory}/${i}.jsonl`,
          used.map(({ pair }) => pair),
        );
        const alone = entry.loss !== "seed" && LOSSES[entry.loss].reference === false;
        const reference = golden.reference && !alone ? ["--reference", golden.reference] : [];
        const flags = ["--dataset", dataset, ...reference, ...lossFlags(entry), "--json"];
        const { stdout } = await runOk("eval", "--model", `${path}/model`, ...flags);
        const mean = used.reduce((sum, { index }) => sum + entry.per_pair[index], 0) / used.length;
        assertNear(JSON.parse(stdout).eval_loss, mean, TOLERANCE.loss, entry.loss);
      }
    }));

  for (const [i, variant] of expected.variants.entries()) {
    // Nobody wants a tied head whose look-up is left out of the gradient.
    if (variant.recipe.tied_grad === "head_only" && golden.tied) continue;
    Deno.test(`golden ${name}: train, recipe ${i}`, () =>
      inTemporaryDirectory((directory) => checkTraining(golden, variant, directory)));
    Deno.test(`golden ${name}: gradients of the first step, recipe ${i}`, () =>
      inTemporaryDirectory((directory) => checkGradients(golden, variant, directory)));
  }
}

async function checkTraining(golden: GoldenCase, variant: Variant, directory: string) {
  const { recipe, steps } = variant;
  const { path, maxLength, hasText } = golden;
  const ids = await writeDataset(`${directory}/pairs.jsonl`, golden.pairs);
  const dataset = hasText ? `${path}/text.jsonl` : ids;
  const run = `${directory}/run`;
  const reference = golden.reference ? ["--reference", golden.reference] : [];
  const lengthFlags = maxLength ? ["--max-length", maxLength] : [];
  await runOk(
    "train",
    ...["--model", `${path}/model`, ...reference, "--dataset", dataset, "--output", run],
    ...[...recipeFlags(golden, recipe), "--no-append-eos", ...lengthFlags],
  );
  const metrics = jsonLines<Record<string, number>>(
    await Deno.readTextFile(`${run}/metrics.jsonl`),
  );
  assert.equal(metrics.length, steps.length);
  for (const [j, step] of steps.entries()) {
    const found = metrics[j];
    const mean = step.delta.reduce((a, b) => a + b) / step.delta.length;
    assertNear(found.loss, step.loss, TOLERANCE.loss, `loss of step ${j + 1}`);
    assertNear(found.grad_norm, step.grad_norm, TOLERANCE.gradNorm, `norm of step ${j + 1}`);
    assertNear(found["rewards/margins"], recipe.beta * mean, TOLERANCE.score, `step ${j + 1}`);
    // Before the first step policy and reference are one, and what the golden deltas are above 0 is rounding.
    if (step.delta.some((delta) => Math.abs(delta) < 1e-6)) continue;
    assert.equal(found["rewards/accuracies"], step.accuracy, `accuracy of step ${j + 1}`);
  }
  await checkWeights(golden, variant, run);

  const firstBatch = golden.pairs.slice(0, recipe.batch_size);
  const first = await writeDataset(`${directory}/first.jsonl`, firstBatch);
  const against = ["--model", run, "--reference", golden.reference ?? `${path}/model`];
  const evaluate = async (pairs: string, ...flags: (string | number)[]) => {
    const words = [...against, "--dataset", pairs, ...lossFlags(recipe), ...flags, "--json"];
    return JSON.parse((await runOk("eval", ...words)).stdout);
  };
  const after = variant.first_batch_loss_after_training;
  assertNear((await evaluate(first)).eval_loss, after, TOLERANCE.loss, "loss after training");

  if (!variant.eval) return;
  const heldOut = `${path}/eval-text.jsonl`;
  const flags = ["--no-append-eos", ...lengthFlags];
  const found = await evaluate(heldOut, ...flags);
  const { policy, pairs, policy_chosen, policy_rejected } = variant.eval;
  assert.equal(found.pairs, pairs);
  assertNear(found.eval_loss, policy.loss, TOLERANCE.loss, "held-out loss");
  assert.equal(found["eval_likelihood/accuracies"], policy.raw_accuracy);
  assert.equal(found["eval_rewards/accuracies"], policy.implicit_accuracy);
  const margin = recipe.beta * policy.mean_delta;
  assertNear(found["eval_rewards/margins"], margin, TOLERANCE.score, "held-out margin");
  for (const [i, pair] of (await score(run, heldOut, ...flags)).entries()) {
    const chosen = scoreOf(pair, "chosen", recipe.score);
    const rejected = scoreOf(pair, "rejected", recipe.score);
    assertNear(chosen, policy_chosen[i], TOLERANCE.score, `held-out pair ${i}, chosen`);
    assertNear(rejected, policy_rejected[i], TOLERANCE.score, `held-out pair ${i}, rejected`);
  }
}

/** Compares the saved weights with what three steps of AdamW must make of them. */
async function checkWeights(golden: GoldenCase, variant: Variant, run: string): Promise<void> {
  const before = await openModel(await openDirectory(`${golden.path}/model`));
  const after = await openModel(await openDirectory(run));
  const expected = variant.weights_after;
  assert.deepEqual([...after.tensors.keys()].sort(), Object.keys(expected).sort());
  const { weight } = TOLERANCE;
  const longer = Math.max(1, variant.recipe.steps / 3);
  const ofWeight = { absolute: weight.absolute * longer, relative: weight.relative * longer };
  for (const [name, { mean, l2: norm, delta_l2, delta_probe }] of Object.entries(expected)) {
    const values = await after.readFloat32(name);
    const old = await before.readFloat32(name);
    const found = values.reduce((a, b) => a + b / values.length, 0);
    assertNear(found, mean, ofWeight, `mean of ${name}`);
    assertNear(l2(values), norm, ofWeight, `length of ${name}`);
    const delta = Float64Array.from(values, (value, i) => value - old[i]);
    assertNear(l2(delta), delta_l2 ?? 0, TOLERANCE.deltaL2, `change of ${name}`);
    if (delta_l2 === undefined) continue;
    assertNear(probe(delta), delta_probe!, { absolute: 2e-2 * delta_l2 }, `probe of ${name}`);
  }
  before.close();
  after.close();
}

/** Norm and probe of every tensor's gradient, which no command prints. */
async function checkGradients(golden: GoldenCase, variant: Variant, directory: string) {
  const dataset = await writeDataset(`${directory}/pairs.jsonl`, golden.pairs);
  const flags = parseFlags(recipeFlags(golden, variant.recipe).map(String)).given;
  const { options } = resolveOptions("train", { flags });
  const model = await openModel(await openDirectory(`${golden.path}/model`));
  const reference = golden.reference
    ? await openModel(await openDirectory(golden.reference))
    : null;
  const { config } = model;
  const { pairs } = await loadPairs(readRows(await openDataset(dataset)), null, {
    maxLengthTokens: options.maxLength,
    truncation: options.truncation,
    appendEos: false,
    score: options.score,
    vocabSize: config.vocabSize,
  });
  const training = await startDpo(
    gpu,
    { config, read: model.readChunks },
    reference && { config: reference.config, read: reference.readChunks },
    pairs,
    options,
    "f32",
  );
  assert.equal(training.parameters.trained, variant.trainable_parameters);
  const rows = Array.from({ length: variant.recipe.batch_size }, (_, i) => i);
  const { gradients } = await takeStep(training, rows);
  assert.deepEqual([...gradients.keys()].sort(), [...variant.trainable].sort());
  const [{ grad_norm_per_tensor, grad_probe_per_tensor }] = variant.steps;
  for (const [name, gradient] of gradients) {
    const norm = grad_norm_per_tensor[name];
    assertNear(l2(gradient), norm, TOLERANCE.gradNorm, `gradient of ${name}`);
    const expected = grad_probe_per_tensor![name];
    assertNear(probe(gradient), expected, { absolute: 1e-3 * norm }, `probe of ${name}`);
  }
  model.close();
  reference?.close();
}
