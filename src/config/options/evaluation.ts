// This module is browser compatible.
import { boolean, choice, integer, type OptionSpec, text } from "../kinds.ts";

export const EVALUATION = {
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
    "Take the largest value of --metric-for-best-model for the best (default: unless it is a loss, a KL, or of clipped or repetitive answers)",
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
