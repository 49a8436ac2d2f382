// This module is browser compatible.
import { boolean, choice, integer, number, type OptionSpec } from "../kinds.ts";
import { TRAINING } from "./commands.ts";

export const OPTIMIZER = {
  maxSteps: integer(
    TRAINING,
    "Stop after this many optimizer steps, whatever the epochs; -1: off",
    {
      default: -1,
      min: -1,
      resume: "free",
    },
  ),
  gradientAccumulationSteps: integer(TRAINING, "Batches per optimizer step", {
    default: 1,
    min: 1,
  }),
  maxTokensPerBatch: integer(
    TRAINING,
    "Tokens computed together; batches of more are divided, and a longer row is computed alone (default: as many as there are)",
    { default: null, min: 1 },
  ),
  maxMemory: integer(
    TRAINING,
    "MiB that a run may take on the GPU: batches are divided and layers computed again as far as it takes",
    { default: null, min: 1 },
  ),
  optim: choice(TRAINING, "Optimizer", {
    default: "adamw_torch",
    choices: ["adamw_torch", "lion_32bit", "sgd", "muon"],
  }),
  muonMomentum: number(TRAINING, "Decay of the mean of gradients that Muon keeps of matrices", {
    default: 0.95,
    min: 0,
    below: 1,
    optim: ["muon"],
  }),
  muonAdjustLrFn: choice(
    TRAINING,
    "How the learning rate of a matrix follows its shape: so that one rate suits Muon and AdamW, or as Muon had it first",
    {
      default: "match_rms_adamw",
      choices: ["match_rms_adamw", "original"],
      optim: ["muon"],
    },
  ),
  lrSchedulerType: choice(TRAINING, "Learning rate after the warm-up", {
    default: "constant",
    choices: [
      ...["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr"] as const,
      ...["polynomial", "inverse_sqrt", "warmup_stable_decay", "reduce_lr_on_plateau"] as const,
    ],
  }),
  minLrRate: number(
    TRAINING,
    "Share of the learning rate at the end of cosine_with_min_lr and warmup_stable_decay",
    { default: 0, min: 0, max: 1 },
  ),
  lrPower: number(TRAINING, "Exponent of the polynomial schedule", { default: 1, above: 0 }),
  lrDecaySteps: number(
    TRAINING,
    "Last steps, in which warmup_stable_decay falls; below 1: a share of all steps",
    { default: 0.2, above: 0 },
  ),
  lrFactor: number(
    TRAINING,
    "What reduce_lr_on_plateau multiplies the rate with when the held-out measure no longer improves",
    { default: 0.1, above: 0, below: 1 },
  ),
  lrPatience: integer(
    TRAINING,
    "Evaluations that may be no better than the best one before reduce_lr_on_plateau acts",
    { default: 10, min: 0 },
  ),
  lrThreshold: number(TRAINING, "By how much a better measure must be better", {
    default: 1e-4,
    min: 0,
  }),
  lrThresholdMode: choice(
    TRAINING,
    "Whether --lr-threshold is a share of the best measure, or a difference from it",
    { default: "rel", choices: ["rel", "abs"] },
  ),
  lrCooldown: integer(
    TRAINING,
    "Evaluations after a fall of the rate that reduce_lr_on_plateau does not count",
    { default: 0, min: 0 },
  ),
  minLr: number(TRAINING, "Lowest rate of reduce_lr_on_plateau", { default: 0, min: 0 }),
  warmupSteps: number(
    TRAINING,
    "Steps in which the learning rate rises from 0; below 1: a share of all steps",
    { default: 0, min: 0 },
  ),
  maxGradNorm: number(TRAINING, "Clip the global gradient norm to this; 0: off", {
    default: 1,
    min: 0,
  }),
  weightDecay: number(
    TRAINING,
    "Share of a weight, times the learning rate, that a step takes off",
    { default: 0, min: 0 },
  ),
  decayNorms: boolean(TRAINING, "Apply weight decay to norm weights and biases too", {
    default: false,
  }),
  adamBeta1: number(TRAINING, "Decay of the mean of gradients, of AdamW and Lion", {
    default: 0.9,
    min: 0,
    below: 1,
    optim: ["adamw_torch", "lion_32bit", "muon"],
  }),
  adamBeta2: number(
    TRAINING,
    "Decay of AdamW's mean of squared gradients, and of the mean that Lion keeps",
    { default: 0.999, min: 0, below: 1, optim: ["adamw_torch", "lion_32bit", "muon"] },
  ),
  adamEpsilon: number(TRAINING, "Keeps AdamW from dividing by zero", {
    default: 1e-8,
    above: 0,
    optim: ["adamw_torch", "muon"],
  }),
  seed: integer(
    ["train", "sft", "generate"],
    "Seed of shuffling, random weights and sampling",
    { default: 42, min: 0, max: 2 ** 32 - 1 },
  ),
} satisfies Record<string, OptionSpec>;
