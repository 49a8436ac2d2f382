// This module is browser compatible.
/**
 * A model on a device in training, by preference or on text: from options to what makes steps and evaluates.
 *
 * @module
 */
import type { Options } from "../config/resolve.ts";
import { trainableOf, type TrainingOptions } from "./trainable.ts";
import type { BatchLimits } from "../data/divide.ts";
import type { PreferencePair } from "../data/pairs.ts";
import type { TextRow } from "../data/sequences.ts";
import type { DpoRun } from "./dpo_batch.ts";
import { evaluate } from "../dpo/evaluate.ts";
import { scoreOptionsOf, treeTokens } from "../dpo/pack.ts";
import { Reference } from "../dpo/reference.ts";
import { dpoSteps } from "./dpo.ts";
import { TrunkCache } from "../dpo/trunk_cache.ts";
import { countingGpu, standIns } from "../gpu/counting_gpu.ts";
import type { Gpu } from "../gpu/device.ts";
import { elementCount } from "../gpu/tensor.ts";
import type { Operand } from "../kernels/shapes.ts";
import { isAcrossPairs, needsReference } from "../losses/losses.ts";
import { type Checkpoint, loadFollower, loadReference } from "../model/load.ts";
import { createModel, type Model, standInModel } from "../model/model.ts";
import { loadWeights } from "../model/load_weights.ts";
import { firstTrainedLayer, snapshot, trainedParameters, trunkIsFrozen } from "../model/weights.ts";
import type { Planned } from "./memory_plan.ts";
import { createOptimizer, standInOptimizer } from "./optimizer.ts";
import { ReferenceSync } from "./reference_sync.ts";
import { sftSteps } from "./sft.ts";

/** A model in training, on rows of some kind. */
export interface Training<Row = unknown> extends Planned<Row> {
  /** Weights in all, and those that train. */
  parameters: { total: number; trained: number };
  /** How the reference follows, if it does: it is called after each step, and its reference is part of checkpoints. */
  sync?: ReferenceSync;
}

/** A model in training by preference. */
export interface DpoTraining extends Training<PreferencePair> {
  run: DpoRun;
  /**
   * Metrics of held-out pairs against the reference.
   *
   * @param isReference Whether the policy still is the reference; then only one of them is computed.
   */
  evaluate(
    pairs: readonly PreferencePair[],
    isReference?: boolean,
  ): Promise<Record<string, number>>;
  counted(pairs: readonly PreferencePair[]): DpoTraining;
}

/** What the options let be computed together. */
function limitsOf(options: TrainingOptions): BatchLimits {
  return {
    rows: options.perDeviceTrainBatchSize,
    tokens: options.maxTokensPerBatch ?? Infinity,
  };
}

async function loadTraining(
  gpu: Gpu,
  { config, read: merged, adapted }: Checkpoint,
  options: TrainingOptions,
  precision: Operand,
) {
  const trainable = trainableOf(options, config, adapted?.adapter);
  const read = trainable.adapter && adapted ? adapted.read : merged;
  const weights = await loadWeights(gpu, config, read, { precision, trainable });
  const begin = firstTrainedLayer(config, trainable);
  const model = createModel(gpu, weights, options.maxLength, begin);
  model.runtime.recomputes = options.gradientCheckpointing ?? false;
  const optimizer = createOptimizer(gpu, weights, options.optim, {
    beta1: options.adamBeta1,
    beta2: options.adamBeta2,
    epsilon: options.adamEpsilon,
    momentum: options.muonMomentum,
    adjustLrFn: options.muonAdjustLrFn,
    weightDecay: options.weightDecay,
    decayNorms: options.decayNorms,
    maxGradNorm: options.maxGradNorm,
  });
  const count = (shapes: (readonly number[])[]) =>
    shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  const parameters = {
    total: count([...weights.parameters.values()].map(({ spec }) => spec.shape)),
    trained: count(trainedParameters(weights).map(({ spec }) => spec.shape)),
  };
  return { model, optimizer, parameters, trainable };
}

/** Loads a model to train it on text. */
export async function startSft(
  gpu: Gpu,
  checkpoint: Checkpoint,
  sequences: readonly TextRow[],
  options: Options<"sft">,
  precision: Operand,
): Promise<Training<TextRow>> {
  const { model, optimizer, parameters } = await loadTraining(gpu, checkpoint, options, precision);
  const limits = limitsOf(options);
  const assemble = (
    { model, optimizer }: Pick<Training, "model" | "optimizer">,
    sequences: readonly TextRow[],
  ): Training<TextRow> => ({
    model,
    optimizer,
    parameters,
    workspaces: [model.runtime.workspace],
    limits,
    divides: true,
    steps: sftSteps(model, optimizer, sequences, { limits, scope: options.score }),
    counted: (rows) => {
      const counting = countingGpu(gpu);
      const standIn = standIns(counting);
      return assemble({
        model: standInModel(counting, model, standIn),
        optimizer: standInOptimizer(optimizer, standIn),
      }, rows);
    },
  });
  return assemble({ model, optimizer }, sequences);
}

/** Bytes that the trunk's outputs of all pairs may take on the GPU. */
const TRUNK_CACHE_BYTES = 2 ** 30;

/**
 * Loads a model to train it by preference.
 *
 * @param reference A reference of its own; without it the model as it is before the first step, if the losses need one.
 */
export async function startDpo(
  gpu: Gpu,
  checkpoint: Checkpoint,
  reference: Checkpoint | null,
  pairs: readonly PreferencePair[],
  options: Options<"train">,
  precision: Operand,
): Promise<DpoTraining> {
  const loaded = await loadTraining(gpu, checkpoint, options, precision);
  const { model, optimizer, parameters, trainable } = loaded;
  const { syncRefModel } = options;
  const loading = { precision, positions: options.maxLength };
  const referenceModel = !needsReference(options)
    ? null
    : !reference
    ? { ...model, weights: snapshot(gpu, model.weights, syncRefModel) }
    : syncRefModel
    ? await loadFollower(gpu, model.weights, reference, loading)
    : await loadReference(gpu, checkpoint, reference, loading);
  const sharesTrunk = !reference && trunkIsFrozen(trainable);
  const score = scoreOptionsOf(options);
  const limits = limitsOf(options);
  const assemble = (
    { model, optimizer, reference, trunkCache }: Omit<DpoRun, "objective">,
    pairs: readonly PreferencePair[],
  ): DpoTraining => {
    const run: DpoRun = { model, optimizer, reference, trunkCache, objective: options };
    const runtimes = new Set([model.runtime, (reference?.model ?? model).runtime]);
    return {
      model,
      optimizer,
      parameters,
      ...reference && syncRefModel && {
        sync: new ReferenceSync(model.weights, reference, options),
      },
      run,
      workspaces: Array.from(runtimes, ({ workspace }) => workspace),
      limits,
      divides: !isAcrossPairs(options),
      steps: dpoSteps(run, pairs, { ...score, limits }),
      evaluate: (heldOut, isReference) =>
        evaluate(model, reference, heldOut, { ...score, objective: options, isReference }),
      counted: (rows) => {
        const counting = countingGpu(gpu);
        const standIn = standIns(counting);
        const policy = standInModel(counting, model, standIn);
        const judge = reference && standInModel(counting, reference.model, standIn);
        if (judge && runtimes.size === 1) judge.runtime = policy.runtime;
        return assemble({
          model: policy,
          optimizer: standInOptimizer(optimizer, standIn),
          // What follows is scored anew, whatever is known of it.
          reference: judge &&
            new Reference(judge, sharesTrunk, syncRefModel ? undefined : reference!),
          trunkCache: new TrunkCache(policy, 0), // allocated already
        }, rows);
      },
    };
  };
  return assemble({
    model,
    optimizer,
    reference: referenceModel && new Reference(referenceModel, sharesTrunk),
    trunkCache: new TrunkCache(model, trunkCacheRows(pairs, options, model)),
  }, pairs);
}

/** Tokens whose trunk output is worth keeping: all of a run with several epochs, if there is memory for them. */
function trunkCacheRows(
  pairs: readonly PreferencePair[],
  options: Options<"train">,
  { begin, gpu, weights }: Model,
): number {
  const batch = options.perDeviceTrainBatchSize * options.gradientAccumulationSteps;
  const epochs = options.maxSteps > 0
    ? options.maxSteps * batch / pairs.length
    : options.numTrainEpochs;
  if (!options.cacheTrunk || begin === 0 || epochs <= 1) return 0;
  const rows = pairs.reduce((sum, pair) => sum + treeTokens(pair), 0);
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  const limit = Math.min(TRUNK_CACHE_BYTES, maxBufferSize, maxStorageBufferBindingSize);
  return Math.min(rows, Math.floor(limit / 4 / weights.config.hiddenSize));
}
