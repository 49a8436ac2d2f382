// This module is browser compatible.
import type { OptionName, OptionValue } from "./options.ts";

/** Values that go before the defaults and behind the flags. */
export type Preset = { readonly [N in OptionName]?: OptionValue<N> };

const COMPLETION_SUM: Preset = {
  lossType: "sigmoid",
  labelSmoothing: 0,
  beta: 0.1,
  logprob: "sum",
  score: "completion",
};

const ALL_WEIGHTS: Preset = {
  trainLayers: "all",
  head: null,
  trainFinalNorm: true,
  trainEmbeddings: true,
};

/** The recipes of `--preset`. */
export const PRESETS: Readonly<Record<NonNullable<OptionValue<"preset">>, Preset>> = {
  // The recipe this project grew from: 1,000 strong preferences, means over all tokens, and only the top of the model trained.
  seed: {
    filter: "strong",
    maxPairs: 1000,
    lossType: "sigmoid",
    labelSmoothing: 0,
    beta: 0.8,
    logprob: "mean",
    score: "all",
    learningRate: 1e-4,
    lrSchedulerType: "constant",
    warmupSteps: 0,
    weightDecay: 1e-2,
    decayNorms: true,
    maxGradNorm: 0,
    numTrainEpochs: 1,
    perDeviceTrainBatchSize: 8,
    gradientAccumulationSteps: 1,
    maxLength: 512,
    truncation: "keep_start",
    appendEos: false,
    trainLayers: "last-sixth",
    head: "untied",
    trainFinalNorm: false,
    trainEmbeddings: false,
  },
  // SmolLM2's published recipe, with the paper's beta.
  standard: {
    ...COMPLETION_SUM,
    ...ALL_WEIGHTS,
    learningRate: 1e-6,
    lrSchedulerType: "cosine",
    warmupSteps: 0.1,
    weightDecay: 0,
    maxGradNorm: 1,
    numTrainEpochs: 2,
    perDeviceTrainBatchSize: 8,
    gradientAccumulationSteps: 16,
    maxLength: 1024,
    truncation: "prompt_first",
    appendEos: true,
  },
  // The defaults of TRL 1.x (DPOConfig and what it inherits).
  trl: {
    ...COMPLETION_SUM,
    ...ALL_WEIGHTS,
    learningRate: 1e-6,
    lrSchedulerType: "linear",
    warmupSteps: 0,
    weightDecay: 0,
    decayNorms: false,
    adamBeta1: 0.9,
    adamBeta2: 0.999,
    adamEpsilon: 1e-8,
    maxGradNorm: 1,
    numTrainEpochs: 3,
    perDeviceTrainBatchSize: 8,
    gradientAccumulationSteps: 1,
    maxLength: 1024,
    truncation: "keep_start",
    promptBoundary: "trl",
    tokenize: "joint",
    appendEos: true,
    shuffle: true,
    seed: 42,
    saveSteps: 500,
  },
};
