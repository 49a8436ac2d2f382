// This module is browser compatible.
import { boolean, choice, datasets, integer, number, type OptionSpec, text } from "../kinds.ts";
import { ALL, DATA, MODEL, PREFERENCE, TRAINING } from "./commands.ts";

/** What a user of a command is likely to set, first of all what to work on. */
export const COMMON = {
  grid: text(
    ["sweep"],
    "Values to try, each with each: names as of train, values with commas, such as 'beta=0.05,0.1 learning_rate=1e-6,5e-6'",
    { default: null, placeholder: "'NAME=VALUE,... ...'" },
  ),
  print: boolean(["sweep"], "Print the command lines of the runs, and run none", {
    default: false,
  }),
  model: text(MODEL, "Model: a directory, a file of weights, or ORG/NAME[@REVISION] of the hub", {
    default: "fixtures/model",
    placeholder: "MODEL",
    aliases: ["model-name-or-path"],
    resume: "content",
    jobs: "server",
  }),
  reference: text(
    [...PREFERENCE, "score", "serve", "inspect"],
    "Reference model (default: the model before training; score, serve and inspect: none)",
    { default: null, placeholder: "MODEL", resume: "content", jobs: "server" },
  ),
  dataset: text(
    [...DATA, "filter", "download"],
    "Rows: files, folders, patterns or hub datasets, such as a.parquet,more/*.jsonl,org/name:train[:1000]",
    {
      default: "fixtures/pairs/train.jsonl",
      placeholder: "PATH[:SPLIT][[FROM:TO]],...",
      aliases: ["dataset-name"],
      defaults: {
        sft: "fixtures/text/train.jsonl.gz",
        eval: "fixtures/pairs/eval.jsonl",
        score: "fixtures/pairs/eval.jsonl",
      },
      resume: "content in memory",
      jobs: "server",
    },
  ),
  evalDataset: datasets(
    [...TRAINING, "inspect"],
    "Held-out rows, evaluated before and after training; several sets: give it several times, each with a name",
    {
      default: null,
      placeholder: "[NAME=]PATH[:SPLIT][[FROM:TO]],...",
      resume: "free",
      jobs: "server",
    },
  ),
  output: text(
    [...TRAINING, "filter", "convert", "serve"],
    "Where to write: the directory of a run (default: a new one in runs/); filter: a .jsonl file; serve: the folder of runs",
    {
      default: null,
      placeholder: "PATH",
      aliases: ["output-dir"],
      defaults: { serve: "runs" },
      resume: "free",
      jobs: "server",
    },
  ),
  preset: choice(
    ["train", "eval", "inspect"],
    "Recipe that sets many options at once; flags override it",
    { default: null, choices: ["seed", "standard", "trl"], resume: "free" },
  ),
  prompt: text(["generate"], "Text to answer or to continue", {
    default: null,
    placeholder: "TEXT",
  }),
  compare: text(["generate"], "Second model, which answers the same prompt", {
    default: null,
    placeholder: "MODEL",
  }),
  maxNewTokens: integer(["generate"], "Longest answer, in tokens", { default: 64, min: 1 }),
  temperature: number(["generate"], "Randomness of sampling; 0: always the likeliest token", {
    default: 0,
    min: 0,
  }),
  host: text(["serve"], "Address to listen on; 0.0.0.0 accepts other machines", {
    default: "127.0.0.1",
    placeholder: "ADDRESS",
  }),
  port: integer(["serve"], "Port to listen on; 0: any free one", {
    default: 8080,
    min: 0,
    max: 65535,
  }),
  apiKey: text(
    ["serve"],
    "Key that requests must send; SMOLDPO_API_KEY sets it without showing it to other users",
    { default: null, placeholder: "KEY" },
  ),
  suite: choice(["bench"], "What to measure", {
    default: "all",
    choices: ["all", "kernels", "step", "ladder", "decode", "sharing", "load", "peers"],
  }),
  row: integer(["inspect"], "First row to show, counted from 0", { default: 0, min: 0 }),
  rows: integer(["inspect"], "Number of rows to show", { default: 3, min: 1 }),
  audit: boolean(
    ["inspect"],
    "Check all pairs instead: duplicates, contradictions, empty answers, length bias, leaks into --eval-dataset, " +
      "labels that --reference doubts",
    { default: false },
  ),
  configFrom: text(
    ["convert"],
    "Model whose configuration and tokenizer to use (default: those beside the weights)",
    { default: null, placeholder: "MODEL" },
  ),
  merge: boolean(["convert"], "Merge adapters into the weights of the model that they name", {
    default: false,
  }),
  randomWeights: boolean(
    ["sft"],
    "Start from random weights; --model gives only configuration and tokenizer",
    { default: false },
  ),
  beta: number([...PREFERENCE, "score"], "How strongly the policy is tied to the reference", {
    default: 0.1,
    above: 0,
  }),
  learningRate: number(
    TRAINING,
    "Step size of AdamW; train takes 5e-5 for the shipped model",
    { default: 1e-6, above: 0, defaults: { sft: 2e-5 } },
  ),
  numTrainEpochs: number(TRAINING, "Passes over the dataset", {
    default: 1,
    above: 0,
    aliases: ["epochs"],
    resume: "free",
  }),
  perDeviceTrainBatchSize: integer(TRAINING, "Pairs (sft: rows) computed together", {
    default: 8,
    min: 1,
    aliases: ["batch-size"],
  }),
  maxLength: integer(DATA, "Longest sequence (prompt and completion), in tokens", {
    default: 512,
    min: 2,
  }),
  resume: text(
    TRAINING,
    "Continue from this checkpoint; without a value, from the newest one in --output",
    {
      default: null,
      placeholder: "DIR",
      bare: "latest",
      aliases: ["resume-from-checkpoint"],
      resume: "free",
      jobs: "server",
      shown: "never",
    },
  ),
  config: text(ALL, "JSON or YAML file of options by name; flags override it", {
    default: null,
    placeholder: "FILE",
    resume: "free",
    jobs: "server",
  }),
  verbose: boolean(TRAINING, "Print the whole header, which run.json has in any case", {
    default: false,
    resume: "free",
    jobs: "server",
    shown: "never",
  }),
  json: boolean(ALL, "Print JSON on stdout and nothing else there", {
    default: false,
    resume: "free",
    jobs: "server",
    shown: "never",
  }),
} satisfies Record<string, OptionSpec>;
