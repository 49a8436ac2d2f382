// This module is browser compatible.
import { createTensor, destroyTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";
import type { StandIn } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import { Workspace } from "../gpu/workspace.ts";
import type { Runtime } from "./forward.ts";
import { headChunkRows } from "./head.ts";
import { ropeTable } from "./rope_frequencies.ts";
import { releaseWeights, standInWeights, type Weights } from "./weights.ts";

/** A model that can run: weights on the GPU, scratch memory, and where its frozen trunk ends. */
export interface Model {
  gpu: Gpu;
  runtime: Runtime;
  weights: Weights;
  /** The first layer above the trunk: that which trains, or 0. */
  begin: number;
}

/**
 * @param positions Longest sequence that the model will see, in tokens.
 * @param begin See {@link Model}.
 */
export function createModel(gpu: Gpu, weights: Weights, positions: number, begin = 0): Model {
  const table = createTensor(gpu, "rope table", "f32", [positions, weights.config.headSize]);
  writeTensor(gpu, table, ropeTable(weights.config, positions));
  const headRows = headChunkRows(gpu, weights.config.vocabSize);
  const workspace = new Workspace(gpu);
  const runtime = { workspace, ropeTable: table, headRows, recomputes: false };
  return { gpu, runtime, weights, begin };
}

/** A model like another one on a counting device, with scratch memory of its own. */
export function standInModel(
  gpu: Gpu,
  { runtime, weights, begin }: Model,
  standIn: StandIn,
): Model {
  return {
    gpu,
    runtime: {
      ...runtime,
      workspace: new Workspace(gpu),
      ropeTable: standIn(runtime.ropeTable),
    },
    weights: standInWeights(weights, standIn),
    begin,
  };
}

/** Frees all memory of a model that only runs, and shares its weights with no other. */
export function releaseModel(model: Model): void {
  releaseRuntime(model);
  releaseWeights(model.gpu, model.weights);
}

/** Frees all memory of a model but its weights. */
export function releaseRuntime({ gpu, runtime }: Model): void {
  runtime.workspace.release();
  destroyTensor(gpu, runtime.ropeTable);
}

/** Scratch for the scores of a batch of B sequences, f32 (B, 4). */
export function scoreTensor({ runtime }: Model, name: string, sequences: number): Tensor {
  return runtime.workspace.get(name, "f32", [sequences, 4]);
}
