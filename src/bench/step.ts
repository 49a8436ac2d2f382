// This module is browser compatible.
/**
 * A DPO training step: its time, what each kernel takes of it, what JavaScript takes, and memory.
 *
 * @module
 */
import { treeTokens } from "../dpo/pack.ts";
import { Reference } from "../dpo/reference.ts";
import type { DpoTraining } from "../train/training.ts";
import type { Gpu } from "../gpu/device.ts";
import { type KernelTime, Profiler } from "../gpu/profiler.ts";
import { Readback } from "../gpu/readback.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelConfig } from "../model/config.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { trainingStep } from "../train/step.ts";
import { SubmitWatch } from "./submit_watch.ts";
import { median } from "./timing.ts";
import { benchTraining, type Recipe, SEED } from "./training.ts";

export interface StepSizes {
  /** What the table calls it. */
  name: string;
  /** Default: the seed preset. */
  recipe?: Recipe;
  config: ModelConfig;
  pairs: PreferencePair[];
  /** Steps between two waits for the GPU, and how often; 0: record steps, but do not run them. */
  steps: number;
  repetitions: number;
}

export interface StepSpeed {
  name: string;
  recipe: string;
  /** Weights, all and those that train. */
  parameters: DpoTraining["parameters"];
  pairs: number;
  /** Of chosen and rejected texts. */
  tokens: number;
  /** What is computed: prompts once. */
  packedTokens: number;
  /** Of a step; null where none ran. */
  milliseconds: number | null;
  tokensPerSecond: number | null;
  pairsPerSecond: number | null;
  /** JavaScript: rows to metadata, then recording all commands. */
  packMilliseconds: number;
  recordMilliseconds: number;
  /** Handing the commands over, which on a CPU adapter runs them. */
  submitMilliseconds: number;
  memoryBytes: number;
  /** GPU time by kernel, in a step where each dispatch is timed apart; null without timestamps. */
  kernels: KernelTime[] | null;
}

const RECORDED_STEPS = 5;

export async function benchStep(
  gpu: Gpu,
  precision: Operand,
  { name, recipe = SEED, config, pairs, steps, repetitions }: StepSizes,
): Promise<StepSpeed> {
  const before = gpu.memory.bytes;
  const training = await benchTraining(gpu, precision, config, pairs, recipe);
  const readback = new Readback(gpu);
  const runs = steps > 0;
  const watch = new SubmitWatch(gpu, runs);
  try {
    const parts: { packMs: number; recordMs: number; submitMs: number }[] = [];
    const step = () => parts.push(recordStep(training, pairs, readback, watch));
    step(); // compiles and allocates
    const times: number[] = [];
    for (let i = 0; i < (runs ? repetitions : RECORDED_STEPS); i++) {
      await gpu.idle();
      const begin = performance.now();
      for (let j = 0; j < Math.max(1, steps); j++) step();
      await gpu.idle();
      times.push((performance.now() - begin) / steps);
    }
    const milliseconds = runs ? median(times) : null;
    const perSecond = (count: number) => milliseconds && count / milliseconds * 1000;
    const tokens = pairs.reduce(
      (sum, { chosen, rejected }) => sum + chosen.ids.length + rejected.ids.length,
      0,
    );
    const part = (key: keyof typeof parts[0]) => median(parts.slice(1).map((each) => each[key]));
    return {
      name,
      recipe: recipe.name,
      parameters: training.parameters,
      pairs: pairs.length,
      tokens,
      packedTokens: pairs.reduce((sum, pair) => sum + treeTokens(pair), 0),
      milliseconds,
      tokensPerSecond: perSecond(tokens),
      pairsPerSecond: perSecond(pairs.length),
      packMilliseconds: part("packMs"),
      recordMilliseconds: part("recordMs"),
      submitMilliseconds: part("submitMs"),
      memoryBytes: gpu.memory.peakBytes - before,
      kernels: runs && gpu.features.timestamps
        ? await profile(gpu, training, pairs, readback)
        : null,
    };
  } finally {
    watch.end();
  }
}

/** A step of a first epoch: the reference does not know the pairs yet. */
function makeStep(training: DpoTraining, pairs: readonly PreferencePair[], readback: Readback) {
  const { run, steps } = training;
  const { model, sharesTrunk } = run.reference!;
  run.reference = new Reference(model, sharesTrunk);
  return steps(Uint32Array.from(pairs.keys()), readback).microBatches;
}

function recordStep(
  training: DpoTraining,
  pairs: readonly PreferencePair[],
  readback: Readback,
  watch: SubmitWatch,
) {
  const begin = performance.now();
  const microBatches = makeStep(training, pairs, readback);
  const packed = performance.now();
  watch.milliseconds = 0;
  trainingStep(training.model, training.optimizer, microBatches, 0, readback);
  const submitMs = watch.milliseconds;
  return { packMs: packed - begin, recordMs: performance.now() - packed - submitMs, submitMs };
}

async function profile(
  gpu: Gpu,
  training: DpoTraining,
  pairs: readonly PreferencePair[],
  readback: Readback,
): Promise<KernelTime[]> {
  const profiler = new Profiler(gpu);
  const microBatches = makeStep(training, pairs, readback);
  trainingStep(training.model, training.optimizer, microBatches, 0, readback, profiler);
  await profiler.collect();
  return profiler.times();
}
