// This module is browser compatible.
import { resolveOptions } from "../config/resolve.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { type DpoTraining, startDpo } from "../train/training.ts";
import type { Gpu } from "../gpu/device.ts";
import { elementCount } from "../gpu/tensor.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelConfig } from "../model/config.ts";
import { checkpointTensors } from "../model/params.ts";
import type { TensorReader } from "../model/load_weights.ts";
import { noise } from "./bench_tensors.ts";

/** Options of a training, and what tables call it. */
export interface Recipe {
  name: string;
  flags: [spelling: string, value: string][];
}

export const SEED: Recipe = { name: "seed preset", flags: [["preset", "seed"]] };
export const FULL: Recipe = { name: "all weights", flags: [] };
export const LORA: Recipe = {
  name: "LoRA of rank 16 on all linear layers",
  flags: [["lora-r", "16"], ["lora-target-modules", "all-linear"]],
};
/** {@link LORA} with the inputs of layers alone kept. */
export const LORA_AGAIN: Recipe = {
  name: "the same, layers computed again",
  flags: [...LORA.flags, ["gradient-checkpointing", "true"]],
};

/** A model of random weights, ready to take steps over `pairs` as one batch. */
export function benchTraining(
  gpu: Gpu,
  precision: Operand,
  config: ModelConfig,
  pairs: readonly PreferencePair[],
  { flags }: Recipe = SEED,
): Promise<DpoTraining> {
  const { options } = resolveOptions("train", {
    flags: [...flags, ["batch-size", String(pairs.length)]],
  });
  return startDpo(gpu, { config, read: noiseWeights(config) }, null, pairs, options, precision);
}

const BLOCK = 65537;
const SCALE = 0.035; // uniform noise of the usual standard deviation, 0.02

/** Weights that are random, if not very: a block of noise over and over. 135 M normal deviates would take half a minute. */
export function noiseWeights(config: ModelConfig): TensorReader {
  const shapes = new Map(checkpointTensors(config).map(({ name, shape }) => [name, shape]));
  const next = noise(7);
  const block = Float32Array.from({ length: BLOCK }, () => SCALE * next());
  return async function* (name) {
    const data = new Float32Array(elementCount(shapes.get(name)!));
    if (name.endsWith("norm.weight")) return yield data.fill(1);
    for (let i = 0; i < data.length; i += BLOCK) data.set(block.subarray(0, data.length - i), i);
    yield data;
  };
}
