// This module is browser compatible.
import { boolean, choice, integer, number, type OptionSpec, text } from "../kinds.ts";
import { DATA, PAIRS, TRAINING } from "./commands.ts";

export const DATASETS = {
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
  marginColumn: text(
    PAIRS,
    "Column of a pair's margin, which the loss asks for beyond what it asks of others; none: no column (default: margin)",
    { default: null, placeholder: "NAME" },
  ),
  weightColumn: text(
    PAIRS,
    "Column of a pair's weight in the loss; none: no column (default: weight)",
    { default: null, placeholder: "NAME" },
  ),
  rankedPairs: choice(
    ["train", "eval", "score", "inspect"],
    "Pairs of a row with several rated or ranked answers: the best against the worst, against all others, or each against the next",
    { default: "best-worst", choices: ["best-worst", "best-all", "adjacent"] },
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
