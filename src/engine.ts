// This module is browser compatible.
/**
 * What command line, server and page use: a model on a device, training by preference or on text, evaluation and scores.
 *
 * @module
 */
import type { Options } from "./config.ts";
import { trainedLayerCount } from "./config.ts";
import type { PreferencePair } from "./data/pairs.ts";
import type { TextRow } from "./data/sequences.ts";
import type { DpoRun } from "./train/dpo_batch.ts";
import { evaluate } from "./dpo/evaluate.ts";
import { scoreOptionsOf, treeTokens } from "./dpo/pack.ts";
import { Reference } from "./dpo/reference.ts";
import { dpoSteps } from "./train/dpo.ts";
import { TrunkCache } from "./dpo/trunk_cache.ts";
import { UserError } from "./errors.ts";
import { countingGpu, standIns } from "./gpu/counting_gpu.ts";
import type { Gpu } from "./gpu/device.ts";
import { elementCount } from "./gpu/tensor.ts";
import type { Operand } from "./kernels/shapes.ts";
import { needsReference } from "./losses/losses.ts";
import { type Adapter, type AdapterShape, targetMatrices } from "./model/adapter.ts";
import type { ModelConfig } from "./model/config.ts";
import { freshAdapter } from "./model/fresh_adapter.ts";
import { createModel, type Model, standInModel } from "./model/model.ts";
import {
  adaptedWeights,
  firstTrainedLayer,
  loadWeights,
  NOTHING,
  snapshot,
  type TensorReader,
  type Trainable,
  trainedParameters,
  trunkIsFrozen,
} from "./model/weights.ts";
import type { Planned } from "./train/memory_plan.ts";
import { createOptimizer, standInOptimizer } from "./train/optimizer.ts";
import { sftSteps } from "./train/sft.ts";

/** A model's configuration and the way to its weights. */
export interface Checkpoint {
  config: ModelConfig;
  read: TensorReader;
  /** Where it has trained adapters: how to go on with them, over the weights without them. */
  adapted?: { adapter: Adapter; read: TensorReader };
}

/** A model in training, on rows of some kind. */
export interface Training<Row = unknown> extends Planned<Row> {
  /** Weights in all, and those that train. */
  parameters: { total: number; trained: number };
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

type TrainingOptions = Options<"train"> | Options<"sft">;

/**
 * Which parameters the options ask to train.
 *
 * @param trained Adapters that the model has already.
 * @throws {UserError} If options and model, or its adapters, do not fit together.
 */
export function trainableOf(
  options: TrainingOptions,
  config: ModelConfig,
  trained?: Adapter,
): Trainable {
  if (options.loraR > 0) {
    const adapter = trained ? sameAdapter(trained, options, config) : newAdapter(options, config);
    return { ...NOTHING, adapter };
  }
  return {
    layers: trainedLayerCount(options.trainLayers, config.numLayers),
    head: options.head ?? (config.tieWordEmbeddings ? "tied" : "untied"),
    finalNorm: options.trainFinalNorm,
    embeddings: options.trainEmbeddings,
  };
}

function adapterShapeOf(options: TrainingOptions, config: ModelConfig): AdapterShape {
  const { loraR: rank, loraAlpha: alpha, useRslora: rslora, layersToTransform: layers } = options;
  const targets = options.loraTargetModules.split(",");
  return { rank, alpha, rslora, matrices: targetMatrices(config, { rank, targets, layers }) };
}

function newAdapter(options: TrainingOptions, config: ModelConfig): Adapter {
  return freshAdapter(config, adapterShapeOf(options, config), options.seed);
}

/** @throws {UserError} If the options ask for others than there are. */
function sameAdapter(
  trained: Adapter,
  options: TrainingOptions,
  config: ModelConfig,
): Adapter {
  const wanted = adapterShapeOf(options, config);
  const inWords = ({ rank, alpha, rslora, matrices }: AdapterShape) => {
    const modules = new Set(Array.from(matrices, (name) => name.split(".").at(-2)));
    return `r ${rank}, alpha ${alpha}${rslora ? ", rsLoRA" : ""}, ${
      [...modules].toSorted().join(",")
    } in ${matrices.size} matrices`;
  };
  const isSame = inWords(wanted) === inWords(trained) &&
    wanted.matrices.isSubsetOf(trained.matrices);
  if (isSame) return trained;
  throw new UserError(
    `Expected the adapters that --model has already, ${inWords(trained)}, found options for ${
      inWords(wanted)
    }: give those options, or merge the adapters with convert first`,
  );
}

/**
 * Loads a model to run it only.
 *
 * @param positions Longest sequence that it will see.
 */
export async function loadModel(
  gpu: Gpu,
  { config, read }: Checkpoint,
  { precision, positions }: { precision: Operand; positions: number },
): Promise<Model> {
  return createModel(gpu, await loadWeights(gpu, config, read, { precision }), positions);
}

/**
 * Loads adapters to run them over a model that is loaded, whose weights they share.
 *
 * @param positions Longest sequence that it will see.
 */
export async function loadAdapter(
  { gpu, weights }: Model,
  adapter: Adapter,
  positions: number,
): Promise<Model> {
  return createModel(gpu, await adaptedWeights(gpu, weights, adapter), positions);
}

/**
 * Loads a reference model of its own; its shape may differ from the policy's.
 *
 * @throws {UserError} If its vocabulary is another one.
 */
export function loadReference(
  gpu: Gpu,
  policy: Pick<Checkpoint, "config">,
  reference: Checkpoint,
  options: { precision: Operand; positions: number },
): Promise<Model> {
  const [expected, found] = [policy.config.vocabSize, reference.config.vocabSize];
  if (found !== expected) {
    throw new UserError(
      `Expected a --reference with the model's vocabulary of ${expected} tokens, found ${found}: take one with the same tokenizer`,
    );
  }
  return loadModel(gpu, reference, options);
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
  const optimizer = createOptimizer(gpu, weights, options.optim, {
    beta1: options.adamBeta1,
    beta2: options.adamBeta2,
    epsilon: options.adamEpsilon,
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
  const batch = { batchSize: options.perDeviceTrainBatchSize, scope: options.score };
  const assemble = (
    { model, optimizer }: Pick<Training, "model" | "optimizer">,
    sequences: readonly TextRow[],
  ): Training<TextRow> => ({
    model,
    optimizer,
    parameters,
    workspaces: [model.runtime.workspace],
    steps: sftSteps(model, optimizer, sequences, batch),
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
  const referenceModel = !needsReference(options)
    ? null
    : reference
    ? await loadReference(gpu, checkpoint, reference, { precision, positions: options.maxLength })
    : { ...model, weights: snapshot(gpu, model.weights) };
  const sharesTrunk = !reference && trunkIsFrozen(trainable);
  const score = scoreOptionsOf(options);
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
      run,
      workspaces: Array.from(runtimes, ({ workspace }) => workspace),
      steps: dpoSteps(run, pairs, { ...score, batchSize: options.perDeviceTrainBatchSize }),
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
          reference: judge && new Reference(judge, sharesTrunk, reference!),
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
