// This module is browser compatible.
import { DIVERGENCE_TYPES } from "../losses/divergences.ts";
import { LOSS_TYPES, LOSSES, readersOf } from "../losses/losses.ts";
import {
  boolean,
  choice,
  choices,
  type Command,
  integer,
  integers,
  number,
  type OptionSpec,
  text,
  type ValueOf,
  weights,
} from "./kinds.ts";

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

const MODEL = [
  "train",
  "sft",
  "eval",
  "score",
  "generate",
  "serve",
  "inspect",
  "download",
  "convert",
  "upload",
  "bench",
] as const;
const ALL = [...MODEL, "filter"] as const;
const TRAINING = ["train", "sft"] as const;
const PUSHING = [...TRAINING, "convert"] as const;
const PREFERENCE = ["train", "eval"] as const;
const DATA = ["train", "sft", "eval", "score", "inspect"] as const;
const FILTERING = ["filter", "train"] as const;
const ON_DEVICE = [...DATA, "generate", "serve", "bench"] as const;
const PAIRS = ["train", "eval", "score", "filter", "inspect"] as const;

/** What a user of a command is likely to set, first of all what to work on. */
const COMMON = {
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
    [...PREFERENCE, "serve", "inspect"],
    "Reference model (default: the model before training; serve and inspect: none)",
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
  evalDataset: text(
    [...TRAINING, "inspect"],
    "Held-out rows; train and sft evaluate on them before and after training",
    { default: null, placeholder: "PATH[:SPLIT][[FROM:TO]],...", resume: "free", jobs: "server" },
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
  beta: number(PREFERENCE, "How strongly the policy is tied to the reference", {
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

const DATASETS = {
  datasetConfig: text(
    [...DATA, "filter"],
    "Configuration of the dataset, as its card names it (default: its default, or the only one)",
    { default: null, placeholder: "NAME", resume: "content in memory" },
  ),
  datasetSplit: text(
    [...DATA, "filter"],
    "Split of the dataset; of several train is the default, for eval and score test",
    {
      default: null,
      placeholder: "NAME",
      aliases: ["dataset-train-split"],
      resume: "content in memory",
    },
  ),
  include: text(["download"], "Download only files that match this pattern, such as data/train*", {
    default: null,
    placeholder: "GLOB",
  }),
  evalDatasetConfig: text(
    [...TRAINING, "inspect"],
    "Configuration of the held-out dataset",
    { default: null, placeholder: "NAME", resume: "free" },
  ),
  evalDatasetSplit: text(
    [...TRAINING, "inspect"],
    "Split of the held-out dataset; of several test is the default",
    { default: null, placeholder: "NAME", aliases: ["dataset-test-split"], resume: "free" },
  ),
  promptColumn: text(
    PAIRS,
    "Column of the prompt; none: no column (default: prompt, instruction, input or question)",
    { default: null, placeholder: "NAME" },
  ),
  chosenColumn: text(PAIRS, "Column of the preferred answer (default: chosen, chosen_response)", {
    default: null,
    placeholder: "NAME",
  }),
  rejectedColumn: text(PAIRS, "Column of the other answer (default: rejected, rejected_response)", {
    default: null,
    placeholder: "NAME",
  }),
  systemColumn: text(
    PAIRS,
    "Column of the system message; none: no column (default: system)",
    { default: null, placeholder: "NAME" },
  ),
  maxPairs: integer(["train"], "Use only the first N pairs after filtering; 0: all", {
    default: 0,
    min: 0,
  }),
  truncation: choice(DATA, "What to cut from a sequence that is too long", {
    default: "keep_start",
    choices: ["keep_start", "keep_end", "prompt_first", "proportional", "drop"],
    aliases: ["truncation-mode"],
  }),
  maxTruncatedShare: number(
    ["train", "sft", "eval", "score"],
    "Refuse a dataset if a larger share of its rows is too long",
    { default: 0.5, min: 0, max: 1 },
  ),
  promptBoundary: choice(
    PAIRS,
    "Where whole conversations are split: after the last shared turn, or where TRL splits (even inside a word)",
    { default: "turns", choices: ["turns", "trl"] },
  ),
  tokenize: choice(
    DATA,
    "Encode prompt and completion separately, or as one text (a token across the boundary belongs to the completion)",
    { default: "separate", choices: ["separate", "joint"] },
  ),
  appendEos: boolean(
    DATA,
    "End each completion with the end token, unless it is cut. Chat templates write begin and end tokens themselves",
    { default: true },
  ),
  shuffle: boolean(TRAINING, "Shuffle the rows anew in each epoch", { default: true }),
  streaming: boolean(
    TRAINING,
    "Read the dataset during training, for data larger than memory; needs --max-steps",
    { default: false, aliases: ["dataset-streaming"] },
  ),
  shuffleBufferSize: integer(TRAINING, "Size of the shuffle buffer of a stream, in rows", {
    default: 10_000,
    min: 1,
  }),
  datasetNumProc: integer(
    ["train", "sft", "eval", "score"],
    "Workers that encode large datasets, about 160 MB each; 1: none (default: one per core, at most 4)",
    { default: null, min: 1, max: 64, resume: "free", jobs: "server", shown: "never" },
  ),
} satisfies Record<string, OptionSpec>;

const FILTER = {
  filter: choice(["train"], "Train only on pairs that pass the rules below", {
    default: "none",
    choices: ["strong", "none"],
  }),
  minChars: number(FILTERING, "Minimum length of either answer, in characters", {
    default: 60,
    min: 0,
    words: ["off"],
  }),
  minDifference: number(
    FILTERING,
    "Without the beginning and end that both answers share, at least this share of the longer answer must remain",
    { default: 0.2, min: 0, max: 1, words: ["off"] },
  ),
  maxOverlap: number(FILTERING, "Maximum share of words that both answers use", {
    default: 0.3,
    min: 0,
    max: 1,
    words: ["off"],
  }),
  maxStopWordRatio: number(FILTERING, "Maximum share of stop words in the chosen answer", {
    default: 0.6,
    min: 0,
    max: 1,
    words: ["off"],
  }),
  minNounVerbGain: integer(
    FILTERING,
    "The chosen answer has at least this many more nouns and verbs",
    {
      default: 1,
      words: ["off"],
    },
  ),
  maxWeakPhrases: integer(
    FILTERING,
    'Maximum number of phrases such as "I don\'t know" or "I\'m sorry" in the chosen answer',
    { default: 0, min: 0, words: ["off"] },
  ),
  rejects: text(["filter"], "File for the rejected rows, each with the rules that it fails", {
    default: null,
    placeholder: "FILE",
  }),
} satisfies Record<string, OptionSpec>;

/** The losses that are per token if the user does not say. */
const PER_TOKEN = LOSS_TYPES.filter((type) => LOSSES[type].logprob === "mean");

const LOSS = {
  lossType: choices(PREFERENCE, "Preference loss, or several, which are added up", {
    default: "sigmoid",
    choices: LOSS_TYPES,
  }),
  lossWeights: weights(PREFERENCE, "A weight for each of several losses (default: 1 each)"),
  labelSmoothing: number(
    PREFERENCE,
    `Assumed probability that a preference is the wrong way round, with ${
      readersOf("labelSmoothing")
    }`,
    { default: 0, min: 0, below: 0.5 },
  ),
  discopopTau: number(
    PREFERENCE,
    `Temperature at which discopop passes from one of its two losses to the other`,
    { default: 0.05, above: 0, max: 1 },
  ),
  dpopLambda: number(
    PREFERENCE,
    "Weight of dpop's penalty on chosen answers that become less likely than the reference has them",
    { default: 50, min: 0 },
  ),
  simpoGamma: number(PREFERENCE, "Margin that simpo demands, in nats", { default: 0.5, min: 0 }),
  cpoAlpha: number(PREFERENCE, "Weight of the chosen answers' negative log-likelihood in cpo", {
    default: 1,
    min: 0,
  }),
  logprob: choice(
    PREFERENCE,
    `How token log-probabilities make up that of a sequence; with ${PER_TOKEN.join(", ")}: mean`,
    { default: "sum", choices: ["sum", "mean"] },
  ),
  fDivergenceType: choice(
    PREFERENCE,
    "Divergence from the reference that losses of the margin limit",
    { default: "reverse_kl", choices: DIVERGENCE_TYPES },
  ),
  fAlphaDivergenceCoef: number(PREFERENCE, "Alpha of alpha_divergence; 1: as reverse_kl", {
    default: 0.5,
  }),
  ldAlpha: number(
    PREFERENCE,
    "Weight of the longer answer's tokens beyond the length of the shorter one (default: 1)",
    { default: null, min: 0, max: 1 },
  ),
  score: choice(
    ["train", "sft", "eval", "inspect"],
    "Tokens that are scored: the completion's, or all",
    { default: "completion", choices: ["completion", "all"], defaults: { sft: "all" } },
  ),
} satisfies Record<string, OptionSpec>;

const OPTIMIZER = {
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
  optim: choice(TRAINING, "Optimizer", {
    default: "adamw_torch",
    choices: ["adamw_torch", "lion_32bit", "sgd"],
  }),
  lrSchedulerType: choice(TRAINING, "Learning rate after the warm-up", {
    default: "constant",
    choices: [
      ...["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr"] as const,
      ...["polynomial", "inverse_sqrt", "warmup_stable_decay"] as const,
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
    optim: ["adamw_torch", "lion_32bit"],
  }),
  adamBeta2: number(
    TRAINING,
    "Decay of AdamW's mean of squared gradients, and of the mean that Lion keeps",
    { default: 0.999, min: 0, below: 1, optim: ["adamw_torch", "lion_32bit"] },
  ),
  adamEpsilon: number(TRAINING, "Keeps AdamW from dividing by zero", {
    default: 1e-8,
    above: 0,
    optim: ["adamw_torch"],
  }),
  seed: integer(
    ["train", "sft", "generate"],
    "Seed of shuffling, random weights and sampling",
    { default: 42, min: 0, max: 2 ** 32 - 1 },
  ),
} satisfies Record<string, OptionSpec>;

const TRAINED = {
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
  cacheTrunk: boolean(
    ["train"],
    "Keep the frozen layers' output of each pair for the next epoch, if memory allows",
    { default: true, resume: "free" },
  ),
} satisfies Record<string, OptionSpec>;

const EVALUATION = {
  evalStrategy: choice(
    ["train"],
    "When to evaluate held-out pairs, besides before the first and after the last step",
    { default: "no", choices: ["no", "steps", "epoch"], resume: "free" },
  ),
  evalSteps: integer(["train"], "Steps between evaluations with --eval-strategy steps", {
    default: 100,
    min: 1,
    resume: "free",
  }),
  metricForBestModel: text(
    ["train"],
    "Measure of held-out pairs that tells which model is the best",
    { default: "loss", placeholder: "NAME", resume: "free" },
  ),
  greaterIsBetter: boolean(
    ["train"],
    "Take the largest value of --metric-for-best-model for the best (default: unless it is a loss)",
    { default: null, resume: "free" },
  ),
  loadBestModelAtEnd: boolean(
    ["train"],
    "Save the best evaluated model, not the last one; its checkpoint is kept",
    { default: false, resume: "free" },
  ),
  earlyStoppingPatience: integer(
    ["train"],
    "Stop after N evaluations that are not better than the best before them; 0: off",
    { default: 0, min: 0, resume: "free" },
  ),
} satisfies Record<string, OptionSpec>;

const SAVING = {
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
    "Where to report metrics besides metrics.jsonl: tensorboard writes an event file to the run directory",
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

const GENERATION = {
  promptIds: integers(["generate"], "Token ids to continue, instead of a text"),
  chat: boolean(
    ["generate"],
    "Apply the chat template to the prompt (default: if the model has one)",
    { default: null },
  ),
  topK: integer(["generate"], "Sample from the K likeliest tokens; 0: all", {
    default: 0,
    min: 0,
  }),
  topP: number(["generate"], "Sample from the likeliest tokens that make up this probability", {
    default: 1,
    above: 0,
    max: 1,
  }),
  minP: number(
    ["generate"],
    "Sample from tokens with at least this share of the likeliest token's probability",
    { default: 0, min: 0, max: 1 },
  ),
  repetitionPenalty: number(
    ["generate"],
    "Divide the logits of tokens seen before by this; 1: off",
    {
      default: 1,
      above: 0,
    },
  ),
  frequencyPenalty: number(
    ["generate"],
    "Subtract this from a token's logit for each time it was drawn",
    { default: 0 },
  ),
  presencePenalty: number(["generate"], "Subtract this from the logits of tokens drawn before", {
    default: 0,
  }),
  ignoreEos: boolean(["generate"], "Continue after the end token", { default: false }),
  probabilities: boolean(
    ["generate"],
    "Show the distribution of the first new token instead of drawing one",
    { default: false },
  ),
} satisfies Record<string, OptionSpec>;

const SERVER = {
  servedModelName: text(
    ["serve"],
    "Name of the model for clients (default: its directory's name)",
    {
      default: null,
      placeholder: "NAME",
    },
  ),
  parallel: integer(["serve"], "Sequences that a model generates at the same time", {
    default: 8,
    min: 1,
    max: 256,
  }),
  maxQueue: integer(["serve"], "Sequences that may wait; more are refused with 429", {
    default: 64,
    min: 0,
    max: 10000,
  }),
  maxModelLen: integer(["serve"], "Maximum length of prompt and answer together, in tokens", {
    default: 2048,
    min: 2,
  }),
  kvCacheMib: integer(["serve"], "Key-value cache of each model, in MiB", {
    default: 512,
    min: 1,
  }),
  maxTrainedModels: integer(
    ["serve"],
    "Models loaded besides those named (trained by jobs, or requested runs); 0: none, and no training jobs",
    { default: 4, min: 0, max: 1000 },
  ),
  trainingFiles: text(["serve"], "Datasets for training jobs, by the names that clients use", {
    default: "fixtures=fixtures/pairs/train.jsonl,fixtures-eval=fixtures/pairs/eval.jsonl",
    placeholder: "NAME=PATH,...",
  }),
  preferences: text(["serve"], "SQLite file for the preferences that people give on the page", {
    default: "runs/preferences.db",
    placeholder: "FILE",
  }),
  corsOrigin: text(["serve"], "Origin whose pages may send requests, such as https://example.org", {
    default: null,
    placeholder: "ORIGIN",
  }),
  timeout: number(
    ["serve"],
    "Seconds that a request may take to arrive, and then its answer to be made",
    { default: 300, above: 0, max: 86_400 },
  ),
  shutdownTimeout: number(["serve"], "Seconds that running answers may take when the server ends", {
    default: 30,
    min: 0,
  }),
} satisfies Record<string, OptionSpec>;

const MACHINE = {
  precision: choice(
    ON_DEVICE,
    "Precision of matrix operands; auto: f16 on a GPU that has it",
    {
      default: "auto",
      choices: ["auto", "f32", "f16"],
      resume: "content",
      jobs: "server",
      shown: "unless default",
    },
  ),
  adapter: text(
    ON_DEVICE,
    "GPU, by index or part of its name; list: print them (default: hardware before software)",
    { default: null, placeholder: "NAME", resume: "free", jobs: "server", shown: "unless default" },
  ),
  engine: choice(ON_DEVICE, "WebGPU implementation", {
    default: "deno",
    choices: ["deno", "dawn"],
    resume: "free",
    jobs: "server",
    shown: "unless default",
  }),
  cache: boolean(
    ["train", "sft", "eval", "score"],
    "Use results of earlier runs from a cache; only train and sft write to it",
    { default: true, resume: "free", jobs: "server", shown: "never" },
  ),
  cacheDir: text(
    ["train", "sft", "eval", "score"],
    "Folder of the cache (default: smoldpo in the user's cache folder)",
    { default: null, placeholder: "DIR", resume: "free", jobs: "server", shown: "never" },
  ),
} satisfies Record<string, OptionSpec>;

/** The sections of a command's help, in order. */
export const SECTIONS = {
  "Most used": COMMON,
  "Dataset": DATASETS,
  "Filter": FILTER,
  "Loss": LOSS,
  "Optimizer": OPTIMIZER,
  "What is trained": TRAINED,
  "Evaluation": EVALUATION,
  "Saving": SAVING,
  "Generation": GENERATION,
  "Server": SERVER,
  "Device and cache": MACHINE,
};

/**
 * Every option of every command, once. Names are those of TRL where TRL has one, in camel case; as a flag `learningRate`
 * is `--learning-rate` or `--learning_rate`, in a configuration file any of the three. Types, help, parsing, the
 * resolved configuration of a run: all follow from this table.
 */
export const OPTIONS = {
  ...COMMON,
  ...DATASETS,
  ...FILTER,
  ...LOSS,
  ...OPTIMIZER,
  ...TRAINED,
  ...EVALUATION,
  ...SAVING,
  ...GENERATION,
  ...SERVER,
  ...MACHINE,
} satisfies Record<string, OptionSpec>;

/** The options that are rules of the strong-preference filter, in the order in which they are reported. */
export const FILTER_RULES = [
  "minChars",
  "minDifference",
  "maxOverlap",
  "maxStopWordRatio",
  "minNounVerbGain",
  "maxWeakPhrases",
] as const satisfies readonly OptionName[];

type Table = typeof OPTIONS;
export type OptionName = keyof Table;

/** The resolved value of one option. */
export type OptionValue<N extends OptionName> = ValueOf<Table[N]>;

/** The options of a command, resolved. */
export type Options<C extends Command = Command> = {
  readonly [N in OptionName as C extends Table[N]["commands"][number] ? N : never]: OptionValue<N>;
};
