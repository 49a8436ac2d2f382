// This module is browser compatible.
import { choice, integer, number, type OptionSpec, text } from "../kinds.ts";
import { FILTERING } from "./commands.ts";

export const FILTER = {
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
