// This module is browser compatible.
import { boolean, choice, integer, type OptionSpec, text } from "../kinds.ts";
import { PUSHING, TRAINING } from "./commands.ts";

export const SAVING = {
  saveSteps: integer(TRAINING, "Write a checkpoint every N steps; 0: none", {
    default: 0,
    min: 0,
    resume: "free",
  }),
  saveTotalLimit: integer(TRAINING, "Number of checkpoints to keep, newest first", {
    default: 2,
    min: 1,
    resume: "free",
  }),
  saveDtype: choice(
    [...TRAINING, "convert"],
    "Number type of the saved weights (default: f32; convert: as stored)",
    { default: null, choices: ["f32", "bf16", "f16"], aliases: ["dtype"], resume: "free" },
  ),
  maxShardSize: text(["convert"], "Maximum size of one file of weights", {
    default: "5GB",
    placeholder: "SIZE",
  }),
  pushToHub: boolean(
    PUSHING,
    "Upload the saved model to --hub-model-id; HF_TOKEN must hold a token with write access",
    { default: false, resume: "free", jobs: "server" },
  ),
  hubModelId: text(
    [...PUSHING, "upload"],
    "Hub repository to upload to; created if it is missing",
    { default: null, placeholder: "ORG/NAME", resume: "free", jobs: "server" },
  ),
  hubPrivateRepo: boolean([...PUSHING, "upload"], "Create a new repository as private", {
    default: true,
    resume: "free",
    jobs: "server",
  }),
  reportTo: choice(
    TRAINING,
    "Where to report metrics besides metrics.jsonl: tensorboard writes an event file to the run directory, with samples of evaluations",
    { default: "none", choices: ["none", "tensorboard"], resume: "free" },
  ),
  dryRun: boolean(
    TRAINING,
    "Read models and data, show the plan with its memory, and train nothing",
    { default: false, resume: "free", jobs: "server", shown: "never" },
  ),
  loggingSteps: integer(TRAINING, "Steps between progress lines outside of a terminal", {
    default: 10,
    min: 1,
    resume: "free",
  }),
} satisfies Record<string, OptionSpec>;
