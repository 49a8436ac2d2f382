// This module is browser compatible.
import { boolean, integer, integers, number, type OptionSpec } from "../kinds.ts";

export const GENERATION = {
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
