// This module is browser compatible.
import { boolean, choice, choices, integer, integers, number, type OptionSpec } from "../kinds.ts";
import { TRAINING } from "./commands.ts";

/** The modules that may have adapters, by PEFT's names. */
export const LORA_TARGETS = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
] as const;

export const TRAINED = {
  trainLayers: integer(TRAINING, "Decoder layers to train, counted from the last", {
    default: "all",
    min: 0,
    words: ["all", "last-sixth"],
  }),
  head: choice(
    TRAINING,
    "Output head: frozen, a trained copy (untied), or trained together with the embedding (tied)",
    { default: null, choices: ["frozen", "untied", "tied"] },
  ),
  trainFinalNorm: boolean(TRAINING, "Train the norm before the head", { default: true }),
  trainEmbeddings: boolean(TRAINING, "Train the token embedding", { default: true }),
  loraR: integer(
    TRAINING,
    "Rank of LoRA adapters, which train in place of the weights; 0: no adapters",
    { default: 0, min: 0, max: 4096 },
  ),
  loraAlpha: number(TRAINING, "Adapters count alpha / r times, or alpha / sqrt(r) with rsLoRA", {
    default: 32,
    above: 0,
  }),
  loraTargetModules: choices(TRAINING, "Linear layers that get adapters", {
    default: "q_proj,v_proj",
    choices: ["all-linear", ...LORA_TARGETS],
  }),
  loraDropout: number(TRAINING, "Dropout before adapters; only 0 is supported", {
    default: 0,
    min: 0,
    max: 0,
  }),
  useRslora: boolean(TRAINING, "Scale adapters by alpha / sqrt(r), as rsLoRA does", {
    default: false,
  }),
  layersToTransform: integers(
    TRAINING,
    "Decoder layers that get adapters, counted from 0 (default: all)",
  ),
  usePeft: boolean(TRAINING, "As TRL has it: --lora-r 16, unless that says otherwise", {
    default: false,
  }),
  gradientCheckpointing: boolean(
    TRAINING,
    "Keep only the input of each layer for the backward pass, and compute the layer again there: less memory, more time, the same " +
      "numbers (default: where --max-memory demands it)",
    { default: null, resume: "free" },
  ),
  cacheTrunk: boolean(
    ["train"],
    "Keep the frozen layers' output of each pair for the next epoch, if memory allows",
    { default: true, resume: "free" },
  ),
} satisfies Record<string, OptionSpec>;
