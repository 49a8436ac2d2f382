/** The golden cases of tests/golden: see the README there for what each number means. */
import assert from "node:assert/strict";
import type { LossType } from "../../src/losses/losses.ts";
import { jsonLines } from "./command.ts";

export const GOLDEN = "tests/golden";

export type ScoreName = "mean_all" | "sum_all" | "sum_completion" | "mean_completion";
type Scores = Record<ScoreName, number>;

export interface Loss {
  loss: "seed" | LossType;
  score: ScoreName;
  beta: number;
  label_smoothing?: number;
}

export interface Recipe extends Loss {
  lr: number;
  weight_decay: number;
  max_grad_norm: number | null;
  frozen_layers: number;
  train_lm_head: boolean;
  train_final_norm: boolean;
  train_embeddings: boolean;
  tied_grad: "full" | "head_only";
  batch_size: number;
  steps: number;
}

export interface Step {
  loss: number;
  grad_norm: number;
  delta: number[];
  accuracy: number;
  grad_norm_per_tensor: Record<string, number>;
  grad_probe_per_tensor?: Record<string, number>;
}

export interface Variant {
  recipe: Recipe;
  trainable: string[];
  trainable_parameters: number;
  steps: Step[];
  first_batch_loss_after_training: number;
  weights_after: Record<
    string,
    { mean: number; l2: number; delta_l2?: number; delta_probe?: number }
  >;
  eval?: {
    pairs: number;
    policy: Record<"loss" | "raw_accuracy" | "implicit_accuracy" | "mean_delta", number>;
    reference: Record<"raw_accuracy", number>;
    policy_chosen: number[];
    policy_rejected: number[];
  };
}

export interface GoldenCase {
  name: string;
  path: string;
  tied: boolean;
  layers: number;
  /** The reference model where it is not the starting point. */
  reference: string | null;
  maxLength: number | null;
  hasText: boolean;
  pairs: GoldenPair[];
  expected: {
    parameters: number;
    scores: Record<"policy" | "reference", Record<"chosen" | "rejected", Scores>>[];
    losses: (Loss & { pairs: number; mean: number; per_pair: number[] })[];
    variants: Variant[];
  };
}

export interface GoldenPair {
  chosen: number[];
  rejected: number[];
  chosen_prompt_length: number;
  rejected_prompt_length: number;
}

export const GOLDEN_CASES = [
  "tied-gqa",
  "untied-mha",
  "text-seed",
  "tiny-dialogue",
  "llama-biases",
  "qwen2",
  "qwen3",
];

export async function goldenCases(): Promise<GoldenCase[]> {
  return await Promise.all(GOLDEN_CASES.map(readCase));
}

async function readCase(name: string): Promise<GoldenCase> {
  const path = `${GOLDEN}/${name}`;
  const json = async (file: string) => JSON.parse(await Deno.readTextFile(`${path}/${file}`));
  const config = await json("model/config.json");
  const files = (await Array.fromAsync(Deno.readDir(path))).map((entry) => entry.name);
  return {
    name,
    path,
    tied: config.tie_word_embeddings,
    layers: config.num_hidden_layers,
    reference: files.includes("reference_model") ? `${path}/reference_model` : null,
    maxLength: (await json("case.json")).max_length ?? null,
    hasText: files.includes("text.jsonl"),
    pairs: jsonLines(await Deno.readTextFile(`${path}/pairs.jsonl`)),
    expected: await json("expected.json"),
  };
}

/** Writes golden pairs as a dataset of token ids. */
export async function writeDataset(path: string, pairs: readonly GoldenPair[]): Promise<string> {
  const rows = pairs.map(({ chosen, rejected, chosen_prompt_length: length, ...other }) => {
    assert.equal(other.rejected_prompt_length, length);
    assert.deepEqual(rejected.slice(0, length), chosen.slice(0, length));
    return JSON.stringify({
      prompt_ids: chosen.slice(0, length),
      chosen_ids: chosen.slice(length),
      rejected_ids: rejected.slice(length),
    });
  });
  await Deno.writeTextFile(path, rows.join("\n"));
  return path;
}

/** The flags of a loss, for `train` and `eval`. */
export function lossFlags({ loss, score, beta, label_smoothing = 0 }: Loss): (string | number)[] {
  const [logprob, scope] = score.split("_");
  return [
    ...["--loss-type", loss === "seed" ? "sigmoid" : loss, "--beta", beta],
    ...["--label-smoothing", label_smoothing, "--logprob", logprob, "--score", scope],
  ];
}

/** The flags of a recipe, for `train`. */
export function recipeFlags({ layers, tied }: GoldenCase, recipe: Recipe): (string | number)[] {
  const head = tied ? "tied" : "untied";
  return [
    ...lossFlags(recipe),
    ...["--learning-rate", recipe.lr, "--lr-scheduler-type", "constant"],
    ...["--weight-decay", recipe.weight_decay, "--decay-norms"],
    ...["--max-grad-norm", recipe.max_grad_norm ?? 0],
    ...["--per-device-train-batch-size", recipe.batch_size, "--max-steps", recipe.steps],
    ...["--train-layers", layers - recipe.frozen_layers],
    ...["--head", recipe.train_lm_head ? head : "frozen"],
    recipe.train_final_norm ? "--train-final-norm" : "--no-train-final-norm",
    recipe.train_embeddings ? "--train-embeddings" : "--no-train-embeddings",
    "--no-shuffle",
  ];
}

/** Tolerances of the golden README: |found - expected| <= absolute + relative |expected|. */
export const TOLERANCE = {
  score: { absolute: 1e-4, relative: 2e-5 },
  loss: { absolute: 1e-5, relative: 5e-5 },
  gradNorm: { absolute: 1e-6, relative: 1e-3 },
  weight: { absolute: 1e-6, relative: 1e-6 },
  deltaL2: { absolute: 1e-7, relative: 5e-3 },
};

export function assertNear(
  found: number,
  expected: number,
  { absolute, relative = 0 }: { absolute: number; relative?: number },
  what: string,
): void {
  const error = Math.abs(found - expected);
  const allowed = absolute + relative * Math.abs(expected);
  assert.ok(
    error <= allowed,
    `${what}: expected ${expected}, found ${found}, ${error / allowed} x`,
  );
}

/** The signed sum of the golden README: sum of x[k] sin(k + 1). */
export function probe(values: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < values.length; k++) sum += values[k] * Math.sin(k + 1);
  return sum;
}

export function l2(values: ArrayLike<number>): number {
  let square = 0;
  for (let k = 0; k < values.length; k++) square += values[k] ** 2;
  return Math.sqrt(square);
}
