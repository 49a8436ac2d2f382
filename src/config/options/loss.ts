// This module is browser compatible.
import { DIVERGENCE_TYPES } from "../../losses/divergences.ts";
import { LOSS_TYPES, LOSSES, readersOf } from "../../losses/losses.ts";
import { boolean, choice, choices, integer, number, type OptionSpec, weights } from "../kinds.ts";
import { PREFERENCE } from "./commands.ts";

/** The losses that are per token if the user does not say. */
const PER_TOKEN = LOSS_TYPES.filter((type) => LOSSES[type].logprob === "mean");

export const LOSS = {
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
  desirableWeight: number(
    PREFERENCE,
    `Weight of good answers, with ${readersOf("desirableWeight")}`,
    { default: 1, min: 0 },
  ),
  undesirableWeight: number(
    PREFERENCE,
    `Weight of bad answers, with ${readersOf("undesirableWeight")}`,
    { default: 1, min: 0 },
  ),
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
  useWeighting: boolean(
    PREFERENCE,
    "Weigh each pair by how likely the policy finds its answers (WPO)",
    { default: false },
  ),
  syncRefModel: boolean(
    ["train"],
    "Let the reference follow the model (TR-DPO): every --ref-model-sync-steps steps both are mixed",
    { default: false },
  ),
  refModelMixupAlpha: number(
    ["train"],
    "Share of the model in the mixture that is the new reference, with --sync-ref-model",
    { default: 0.6, min: 0, max: 1 },
  ),
  refModelSyncSteps: integer(
    ["train"],
    "Steps after which the reference is mixed anew, with --sync-ref-model",
    { default: 512, min: 1 },
  ),
  score: choice(
    ["train", "sft", "eval", "inspect"],
    "Tokens that are scored: the completion's, or all",
    { default: "completion", choices: ["completion", "all"], defaults: { sft: "all" } },
  ),
} satisfies Record<string, OptionSpec>;
