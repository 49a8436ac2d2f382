// This module is browser compatible.
/**
 * Which weights a training changes: what `--train-layers`, `--head` and the options of LoRA ask for.
 *
 * @module
 */
import type { Options, OptionValue } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { type Adapter, type AdapterShape, targetMatrices } from "../model/adapter.ts";
import type { ModelConfig } from "../model/config.ts";
import { freshAdapter } from "../model/fresh_adapter.ts";
import { NOTHING, type Trainable } from "../model/weights.ts";

/** Options of a command that trains. */
export type TrainingOptions = Options<"train"> | Options<"sft">;

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
 * The number of layers that `--train-layers` asks for.
 *
 * @param numLayers Decoder layers of the model.
 * @throws {UserError} If the model has fewer.
 */
export function trainedLayerCount(
  trainLayers: OptionValue<"trainLayers">,
  numLayers: number,
): number {
  if (trainLayers === "all") return numLayers;
  // The seed freezes 25 of 30 layers; of other depths the first five sixths.
  if (trainLayers === "last-sixth") return numLayers - Math.floor(numLayers * 5 / 6);
  if (trainLayers > numLayers) {
    throw new UserError(
      `Expected --train-layers of at most ${numLayers}, the model's layers, found ${trainLayers}`,
    );
  }
  return trainLayers;
}
