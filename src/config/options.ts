// This module is browser compatible.
import {
  boolean,
  choice,
  type Command,
  integer,
  integers,
  number,
  type OptionSpec,
  text,
  type ValueOf,
} from "./kinds.ts";

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

/**
 * Every option of every command, once. Names are those of TRL where TRL has one, in camel case; as a flag `learningRate`
 * is `--learning-rate` or `--learning_rate`, in a configuration file any of the three. Types, help, parsing, the
 * resolved configuration of a run: all follow from this table.
 */
export const OPTIONS = {
  // What to work on
  preset: choice(
    ["train", "eval", "inspect"],
    "Recipe that sets many of the options below; flags go before it",
    {
      default: null,
      choices: ["seed", "standard", "trl"],
    },
  ),
  config: text(ALL, "JSON file with options by name; flags go before it", {
    default: null,
    placeholder: "FILE",
  }),
  model: text(
    MODEL,
    "Model: a directory, a file of weights beside a config.json, or ORG/NAME[@REVISION]",
    {
      default: "fixtures/model",
      placeholder: "MODEL",
      aliases: ["model-name-or-path"],
    },
  ),
  configFrom: text(
    ["convert"],
    "Model whose configuration and tokenizer belong to the weights (default: what is beside them)",
    { default: null, placeholder: "MODEL" },
  ),
  randomWeights: boolean(
    ["sft"],
    "Start from random weights; of the model directory only configuration and tokenizer count",
    { default: false },
  ),
  reference: text(
    [...PREFERENCE, "serve", "inspect"],
    "Reference model (default: the model before training; serve: none; inspect: none, and no labels are doubted)",
    {
      default: null,
      placeholder: "DIR",
    },
  ),
  dataset: text(
    [...DATA, "filter", "download"],
    "Rows: files, folders, patterns or ORG/NAME[@REVISION], as in a.parquet,more/*.jsonl,org/name:train[:1000]",
    {
      default: "fixtures/pairs/train.jsonl",
      placeholder: "PATH[:SPLIT][[FROM:TO]],...",
      aliases: ["dataset-name"],
      defaults: {
        sft: "fixtures/text/train.jsonl.gz",
        eval: "fixtures/pairs/eval.jsonl",
        score: "fixtures/pairs/eval.jsonl",
      },
    },
  ),
  datasetConfig: text(
    [...DATA, "filter"],
    "Configuration of the dataset, of those in its card (default: its default, or the only one)",
    { default: null, placeholder: "NAME" },
  ),
  datasetSplit: text(
    [...DATA, "filter"],
    "Split of the dataset (default: of several, train; for eval and score, test)",
    { default: null, placeholder: "NAME", aliases: ["dataset-train-split"] },
  ),
  include: text(["download"], "Only files that match this pattern, such as data/train*", {
    default: null,
    placeholder: "GLOB",
  }),
  evalDataset: text(
    [...TRAINING, "inspect"],
    "Held-out rows, evaluated before and after training",
    {
      default: null,
      placeholder: "PATH[:SPLIT][[FROM:TO]],...",
    },
  ),
  evalDatasetConfig: text(
    [...TRAINING, "inspect"],
    "Configuration of the held-out dataset",
    { default: null, placeholder: "NAME" },
  ),
  evalDatasetSplit: text(
    [...TRAINING, "inspect"],
    "Split of the held-out dataset (default: of several, test)",
    {
      default: null,
      placeholder: "NAME",
      aliases: ["dataset-test-split"],
    },
  ),
  streaming: boolean(
    TRAINING,
    "Read the dataset as training goes on, for data larger than memory; needs --max-steps",
    { default: false, aliases: ["dataset-streaming"] },
  ),
  shuffleBufferSize: integer(
    TRAINING,
    "Rows in memory that the next one of a stream is drawn from",
    { default: 10_000, min: 1 },
  ),
  promptColumn: text(
    PAIRS,
    "Column of the prompt; none: there is none (default: prompt, instruction, input, question)",
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
    "Column of the system message; none: there is none (default: system)",
    { default: null, placeholder: "NAME" },
  ),
  output: text(
    [...TRAINING, "filter", "convert", "serve"],
    "Where to write: a run directory, a new one in runs/ where none is named; filter: a .jsonl file, none if none is named; serve: the folder of its jobs' runs",
    {
      default: null,
      placeholder: "PATH",
      aliases: ["output-dir"],
      defaults: { serve: "runs" },
    },
  ),

  // Which pairs
  filter: choice(["train"], "Train on strong preferences only, by the rules below", {
    default: "none",
    choices: ["strong", "none"],
  }),
  maxPairs: integer(["train"], "Train on the first pairs that are left, so many; 0: all", {
    default: 0,
    min: 0,
  }),
  minChars: number(FILTERING, "Fewest characters of either answer", {
    default: 60,
    min: 0,
    words: ["off"],
  }),
  minDifference: number(
    FILTERING,
    "Smallest share of the longer answer's words between what both begin and end with",
    { default: 0.2, min: 0, max: 1, words: ["off"] },
  ),
  maxOverlap: number(FILTERING, "Largest share of words that both answers use", {
    default: 0.3,
    min: 0,
    max: 1,
    words: ["off"],
  }),
  maxStopWordRatio: number(FILTERING, "Largest share of stop words in the chosen answer", {
    default: 0.6,
    min: 0,
    max: 1,
    words: ["off"],
  }),
  minNounVerbGain: integer(FILTERING, "Nouns and verbs that the chosen answer has more, at least", {
    default: 1,
    words: ["off"],
  }),
  maxWeakPhrases: integer(
    FILTERING,
    'Most phrases such as "I don\'t know" or "I\'m sorry" in the chosen answer',
    { default: 0, min: 0, words: ["off"] },
  ),
  rejects: text(["filter"], "File for the rows that were rejected, each with the rules it failed", {
    default: null,
    placeholder: "FILE",
  }),

  // The loss
  lossType: choice(PREFERENCE, "Preference loss", {
    default: "sigmoid",
    choices: ["sigmoid", "robust", "ipo", "hinge"],
  }),
  beta: number(PREFERENCE, "How strongly the policy is tied to the reference", {
    default: 0.1,
    above: 0,
  }),
  labelSmoothing: number(
    PREFERENCE,
    "Probability that a preference is the wrong way round (sigmoid, robust)",
    { default: 0, min: 0, below: 0.5 },
  ),
  logprob: choice(PREFERENCE, "How token log-probabilities make up that of a sequence; ipo: mean", {
    default: "sum",
    choices: ["sum", "mean"],
  }),
  score: choice(
    ["train", "sft", "eval", "inspect"],
    "Tokens that count: the completion's, or the prompt's too",
    { default: "completion", choices: ["completion", "all"], defaults: { sft: "all" } },
  ),

  // The optimizer
  learningRate: number(TRAINING, "Step size of AdamW (train: 5e-5 for the shipped model)", {
    default: 1e-6,
    above: 0,
    defaults: { sft: 2e-5 },
  }),
  weightDecay: number(TRAINING, "Decoupled weight decay of AdamW", { default: 0, min: 0 }),
  decayNorms: boolean(TRAINING, "Decay the weights of the norms too", { default: false }),
  adamBeta1: number(TRAINING, "Decay of the mean of gradients", { default: 0.9, min: 0, below: 1 }),
  adamBeta2: number(TRAINING, "Decay of the mean of squared gradients", {
    default: 0.999,
    min: 0,
    below: 1,
  }),
  adamEpsilon: number(TRAINING, "Keeps AdamW from dividing by zero", { default: 1e-8, above: 0 }),
  maxGradNorm: number(TRAINING, "Clip the gradients' global norm to this; 0: off", {
    default: 1,
    min: 0,
  }),
  lrSchedulerType: choice(TRAINING, "Course of the learning rate after the warm-up", {
    default: "constant",
    choices: ["constant", "linear", "cosine"],
  }),
  warmupSteps: number(
    TRAINING,
    "Steps in which the learning rate rises from 0; below 1: share of all steps",
    { default: 0, min: 0 },
  ),

  // How long and in what portions
  numTrainEpochs: number(TRAINING, "Passes over the dataset", {
    default: 1,
    above: 0,
    aliases: ["epochs"],
  }),
  maxSteps: integer(
    TRAINING,
    "Stop after this many optimizer steps, whatever the epochs; -1: off",
    { default: -1, min: -1 },
  ),
  perDeviceTrainBatchSize: integer(TRAINING, "Pairs (sft: rows) computed together", {
    default: 8,
    min: 1,
    aliases: ["batch-size"],
  }),
  gradientAccumulationSteps: integer(TRAINING, "Batches that make up one optimizer step", {
    default: 1,
    min: 1,
  }),
  maxLength: integer(DATA, "Longest sequence, prompt and completion, in tokens", {
    default: 512,
    min: 2,
  }),
  truncation: choice(DATA, "What to cut from a longer one", {
    default: "keep_start",
    choices: ["keep_start", "keep_end", "prompt_first", "proportional", "drop"],
    aliases: ["truncation-mode"],
  }),
  maxTruncatedShare: number(
    ["train", "sft", "eval", "score"],
    "Refuse a dataset of which a larger share of rows is cut, or dropped for its length",
    { default: 0.5, min: 0, max: 1 },
  ),
  promptBoundary: choice(
    PAIRS,
    "Where a prompt without a column ends: at the answers, or where TRL cuts (mid-word too)",
    { default: "turns", choices: ["turns", "trl"] },
  ),
  tokenize: choice(
    DATA,
    "Encode prompt and completion one by one, or as one text (tokens across the prompt's end are the completion's)",
    { default: "separate", choices: ["separate", "joint"] },
  ),
  appendEos: boolean(
    DATA,
    "End completions given as text with the end token, once; it is lost where a completion is cut. Texts begin with the " +
      "tokenizer's begin token, if it has one, once. Chat templates write both themselves",
    { default: true },
  ),
  shuffle: boolean(TRAINING, "Take the rows in a new order each epoch", { default: true }),

  // What is trained
  trainLayers: integer(TRAINING, "Decoder layers to train, counted from the last", {
    default: "all",
    min: 0,
    words: ["all", "last-sixth"],
  }),
  head: choice(
    TRAINING,
    "LM head: frozen, a trained copy of its own, or trained as one with the embedding",
    { default: null, choices: ["frozen", "untied", "tied"] },
  ),
  trainFinalNorm: boolean(TRAINING, "Train the norm before the head", { default: true }),
  trainEmbeddings: boolean(TRAINING, "Train the token embedding", { default: true }),
  cacheTrunk: boolean(
    ["train"],
    "Keep what frozen layers give for a pair for the next epoch, where memory allows",
    { default: true },
  ),

  // The run
  seed: integer(
    ["train", "sft", "generate"],
    "Of shuffling, random weights and sampling",
    { default: 42, min: 0, max: 2 ** 32 - 1 },
  ),
  saveSteps: integer(TRAINING, "Write a checkpoint every so many steps; 0: none", {
    default: 0,
    min: 0,
  }),
  saveTotalLimit: integer(TRAINING, "Checkpoints to keep, the newest ones", { default: 2, min: 1 }),
  resume: text(
    TRAINING,
    "Go on from this checkpoint; without a value from the newest one of the output directory",
    { default: null, placeholder: "DIR", bare: "latest", aliases: ["resume-from-checkpoint"] },
  ),
  saveDtype: choice(
    [...TRAINING, "convert"],
    "Numbers of the saved weights (default: f32; convert: as they are stored)",
    { default: null, choices: ["f32", "bf16", "f16"], aliases: ["dtype"] },
  ),
  maxShardSize: text(["convert"], "Most bytes of weights in one file", {
    default: "5GB",
    placeholder: "SIZE",
  }),
  pushToHub: boolean(
    PUSHING,
    "Upload what was saved to --hub-model-id; HF_TOKEN must hold a token that may write",
    { default: false },
  ),
  hubModelId: text(
    [...PUSHING, "upload"],
    "Repository of the hub to upload to; made where it is missing",
    { default: null, placeholder: "ORG/NAME" },
  ),
  hubPrivateRepo: boolean([...PUSHING, "upload"], "Make a new repository private", {
    default: true,
  }),
  loggingSteps: integer(TRAINING, "Steps between progress lines where no terminal shows a bar", {
    default: 10,
    min: 1,
  }),

  // What to generate
  prompt: text(["generate"], "Text to answer or to continue", {
    default: null,
    placeholder: "TEXT",
  }),
  promptIds: integers(["generate"], "Token ids to continue, instead of a text"),
  compare: text(["generate"], "Second model directory, answered side by side", {
    default: null,
    placeholder: "DIR",
  }),
  chat: boolean(
    ["generate"],
    "Put the prompt into the chat template (default: where the model has one)",
    { default: null },
  ),
  maxNewTokens: integer(["generate"], "Longest completion, in tokens", { default: 64, min: 1 }),
  temperature: number(["generate"], "Randomness of sampling; 0: always the likeliest token", {
    default: 0,
    min: 0,
  }),
  topK: integer(["generate"], "Sample among so many likeliest tokens; 0: all", {
    default: 0,
    min: 0,
  }),
  topP: number(["generate"], "Sample among the likeliest tokens that make up this probability", {
    default: 1,
    above: 0,
    max: 1,
  }),
  repetitionPenalty: number(
    ["generate"],
    "Divide the logits of tokens already seen by this; 1: off",
    { default: 1, above: 0 },
  ),
  minP: number(
    ["generate"],
    "Sample among tokens with this share of the likeliest one's probability",
    {
      default: 0,
      min: 0,
      max: 1,
    },
  ),
  frequencyPenalty: number(
    ["generate"],
    "Take this off the logit of a token each time that it was drawn",
    { default: 0 },
  ),
  presencePenalty: number(["generate"], "Take this off the logits of tokens drawn before", {
    default: 0,
  }),
  ignoreEos: boolean(["generate"], "Do not stop at the end token", { default: false }),
  probabilities: boolean(
    ["generate"],
    "Show what the first new token would be drawn from, instead of drawing it",
    { default: false },
  ),

  // How to serve
  host: text(["serve"], "Address to listen on; 0.0.0.0 lets other machines in", {
    default: "127.0.0.1",
    placeholder: "ADDRESS",
  }),
  port: integer(["serve"], "Port to listen on; 0: any that is free", {
    default: 8080,
    min: 0,
    max: 65535,
  }),
  apiKey: text(
    ["serve"],
    "Key that requests must bring; better in SMOLDPO_API_KEY, which nobody sees",
    {
      default: null,
      placeholder: "KEY",
    },
  ),
  servedModelName: text(["serve"], "What clients call the model (default: its directory's name)", {
    default: null,
    placeholder: "NAME",
  }),
  parallel: integer(["serve"], "Sequences that a model works on at the same time", {
    default: 8,
    min: 1,
    max: 256,
  }),
  maxQueue: integer(["serve"], "Sequences that may wait; more are refused with 429", {
    default: 64,
    min: 0,
    max: 10000,
  }),
  maxModelLen: integer(["serve"], "Tokens that prompt and answer may have together", {
    default: 2048,
    min: 2,
  }),
  kvCacheMib: integer(["serve"], "Memory of each model's cache of keys and values, in MiB", {
    default: 512,
    min: 1,
  }),
  preferences: text(["serve"], "SQLite file of the preferences that people give on the page", {
    default: "runs/preferences.db",
    placeholder: "FILE",
  }),
  trainingFiles: text(["serve"], "Datasets that jobs may train on, by the names that they use", {
    default: "fixtures=fixtures/pairs/train.jsonl,fixtures-eval=fixtures/pairs/eval.jsonl",
    placeholder: "NAME=PATH,...",
  }),
  maxTrainedModels: integer(
    ["serve"],
    "Models that may be loaded besides those named: trained by jobs, or runs that are asked for; 0: none, and no jobs train",
    { default: 4, min: 0, max: 1000 },
  ),
  corsOrigin: text(["serve"], "Origin whose pages may ask too, as https://example.org", {
    default: null,
    placeholder: "ORIGIN",
  }),
  timeout: number(
    ["serve"],
    "Seconds that a request may take to come in, and then its answer, before it is given up",
    { default: 300, above: 0, max: 86_400 },
  ),
  shutdownTimeout: number(["serve"], "Seconds that answers in work may take when the server ends", {
    default: 30,
    min: 0,
  }),

  // What to show and to measure
  row: integer(["inspect"], "First row to show, counted from 0", { default: 0, min: 0 }),
  rows: integer(["inspect"], "Rows to show", { default: 3, min: 1 }),
  audit: boolean(
    ["inspect"],
    "Look at all pairs instead: duplicates, contradictions, empty answers, length bias, leaks into --eval-dataset, and " +
      "the labels that a --reference doubts",
    { default: false },
  ),
  suite: choice(["bench"], "What to measure", {
    default: "all",
    choices: ["all", "kernels", "step", "ladder", "decode", "sharing", "load", "peers"],
  }),

  // What was computed before, and what computes at the same time
  datasetNumProc: integer(
    ["train", "sft", "eval", "score"],
    "Workers that encode the text of large datasets, about 160 MB each; 1: none (default: one per core, at most 4)",
    { default: null, min: 1, max: 64 },
  ),
  cache: boolean(
    ["train", "sft", "eval", "score"],
    "Look up in a cache what earlier runs computed; train and sft write to it, too",
    { default: true },
  ),
  cacheDir: text(
    ["train", "sft", "eval", "score"],
    "Folder of the cache (default: smoldpo in the user's cache folder)",
    {
      default: null,
      placeholder: "DIR",
    },
  ),

  // The device
  precision: choice(
    ON_DEVICE,
    "Of matrix operands; auto: f16 where the device has it",
    { default: "auto", choices: ["auto", "f32", "f16"] },
  ),
  adapter: text(
    ON_DEVICE,
    "GPU by index or part of its name; list: print them (default: hardware before software)",
    { default: null, placeholder: "NAME" },
  ),
  engine: choice(
    ON_DEVICE,
    "WebGPU implementation",
    {
      default: "deno",
      choices: ["deno", "dawn"],
    },
  ),
  json: boolean(ALL, "Print JSON on stdout and nothing else there", { default: false }),
} satisfies Record<string, OptionSpec>;

/** The options that are rules of the strong-preference filter, in the order in which they are told. */
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
