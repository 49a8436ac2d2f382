// This module is browser compatible.

/**
 * What a run's numbers say of how it went, in plain words: what was seen, what it means, and what to change.
 *
 * @module
 */

import { drifted, endless, length, repetitive, worse } from "./diagnosis_of_answers.ts";
import {
  type Course,
  type Finding,
  firstQuarter,
  lastQuarter,
  median,
  quarters,
  remediesOf,
  type Remedy,
  rounded,
  type Run,
  sidesOf,
} from "./findings.ts";
import { isEvaluation, type MetricsLine, readable, type Sample } from "./run_record.ts";
import { lowerRate } from "./steering.ts";

/** Steps of which less can be said than of noise. */
const FEWEST_STEPS = 10;
/** Pairs that are all right by chance about never. */
const MANY_PAIRS = 100;
/** Of rewards: with a beta of 0.1 an answer is e times as likely as before, or as unlikely. */
const MOVED = 0.1;
/** Of ln V per token: a model that says less than so much more than nothing is as good as uniform. */
const UNIFORM = 0.95;

/**
 * Looks through the metrics of a run that has ended.
 *
 * @param metrics The lines of its metrics.jsonl.
 */
export function diagnose(
  metrics: readonly MetricsLine[],
  course: Course,
  samples: readonly Sample[] = [],
): Finding[] {
  const steps = metrics.filter((line) => "learning_rate" in line && !line.skipped);
  const signs = [
    ...[diverged, uniform, unmoved, easy, falling, gradient, overflow, worse],
    ...[drifted, repetitive, endless],
  ];
  const findings = steps.length === 0 ? [] : signs.map((sign) => sign({ steps, metrics, course }));
  const found = [...findings, length(samples, course)].filter((finding) => finding !== null);
  // What follows from a broken model needs no remedy of its own.
  const isBroken = found.some(({ sign }) => sign === "diverged" || sign === "uniform");
  return found.filter(({ sign }) => !isBroken || !CONSEQUENCES.includes(sign));
}

const CONSEQUENCES: readonly Finding["sign"][] = [
  ...["falling", "gradient", "worse", "drifted", "repetitive", "endless", "length"] as const,
];

function diverged({ steps, course }: Run): Finding | null {
  const [begin, end] = [course.lossOfEquals ?? steps[0].loss, lastQuarter(steps, "loss")];
  if (!(end > 1.5 * begin + 0.1)) return null;
  return {
    sign: "diverged",
    text: `the loss rose from ${rounded(begin)} to ${rounded(end)}: training diverged; ${
      lowerRate(course)
    }`,
  };
}

function uniform({ steps, course }: Run): Finding | null {
  const { vocabSize, chosenTokens, beta } = course;
  if (steps.length < 4) return null; // a few pairs may be odd
  const perToken = (loss: number, logp: number) =>
    beta === null ? loss : chosenTokens === null ? NaN : -logp / chosenTokens;
  const limit = Math.log(vocabSize);
  const [begin, end] = [
    perToken(firstQuarter(steps, "loss"), firstQuarter(steps, "logps/chosen")),
    perToken(lastQuarter(steps, "loss"), lastQuarter(steps, "logps/chosen")),
  ];
  if (!(end >= UNIFORM * limit)) return null;
  const seen = `right answers cost ${rounded(end)} nats per token, where guessing among ${
    readable(vocabSize)
  } tokens costs ${rounded(limit)}`;
  const first = perToken(steps[0].loss, steps[0]["logps/chosen"]);
  if (Math.min(begin, first) >= UNIFORM * limit) {
    const remedy = beta === null
      ? "raise --learning-rate, or take more steps"
      : "begin with a model that was trained on text";
    return {
      sign: "untrained",
      text: `${seen}, from the first step on: the model knows no language; ${remedy}`,
    };
  }
  return {
    sign: "uniform",
    text: `${seen}, after ${rounded(first)} at first: the model has unlearned its language; ${
      lowerRate(course)
    }, or take fewer steps`,
  };
}

function unmoved({ steps, course }: Run): Finding | null {
  const { lossOfEquals, learningRate, beta } = course;
  if (lossOfEquals === null || steps.length < FEWEST_STEPS) return null;
  const end = lastQuarter(steps, "loss");
  if (Math.abs(end - lossOfEquals) > 1e-3 * Math.max(1, Math.abs(lossOfEquals))) return null;
  // Good and bad answers that moved alike have the same loss.
  const rewards = ["rewards/chosen", "rewards/rejected"].map((name) => lastQuarter(steps, name));
  if (rewards.some((reward) => Math.abs(reward) > MOVED)) return null;
  return {
    sign: "unmoved",
    text: `the loss is ${
      rounded(end)
    } after ${steps.length} steps, that of a model that did not move: raise --learning-rate (${
      readable(learningRate)
    }) or --beta (${readable(beta)}), take more steps, or see whether ${
      sidesOf(course).both
    } differ (deno task inspect)`,
  };
}

function easy({ steps, course }: Run): Finding | null {
  const { rowsPerStep } = course;
  // Before the first step every pair is a tie.
  const count = Math.max(Math.ceil(steps.length / 10), Math.ceil(MANY_PAIRS / rowsPerStep));
  const early = steps.slice(1, 1 + count);
  const isEasy = early.length === count && count <= steps.length / 2 &&
    early.every((step) => step["rewards/accuracies"] === 1);
  if (!isEasy) return null;
  const { unit, both } = sidesOf(course);
  return {
    sign: "easy",
    text:
      `all ${
        readable(count * rowsPerStep)
      } ${unit} of the first steps were right at once: ${both} differ by something easy, such as a phrase or their ` +
      `length, which may be all that is learned; look at the ${unit} (deno task inspect --audit), or take fewer steps`,
  };
}

function falling({ steps, metrics, course }: Run): Finding | null {
  const held = heldOutPrefix(metrics);
  const evaluations = metrics.filter((line) => `${held}logps/chosen` in line);
  const isHeldOut = evaluations.length > 1;
  if (!isHeldOut && steps.length < FEWEST_STEPS) return null;
  const change = (name: string) =>
    isHeldOut
      ? [evaluations[0][`${held}${name}`], evaluations.at(-1)![`${held}${name}`]]
      : [firstQuarter(steps, name), lastQuarter(steps, name)];
  const [chosen, rejected] = [change("logps/chosen"), change("logps/rejected")];
  const fall = chosen[0] - chosen[1];
  if (!(fall > Math.max(2, 0.1 * Math.abs(chosen[0])) && rejected[1] < rejected[0])) return null;
  const words = ([begin, end]: number[]) => `${rounded(begin)} -> ${rounded(end)}`;
  const { good, bad } = sidesOf(course);
  return {
    sign: "falling",
    text: `${good} answers became less likely too (log-probability ${words(chosen)}, ${bad} ${
      words(rejected)
    }): both are unlearned, one more than the other; ${
      remediesOf(
        course,
        ...keepLikely(course),
        "raise --beta",
        "lower --learning-rate",
      )
    }`,
  };
}

/** What keeps good answers likely: their likelihood among the losses, or their weight. */
function keepLikely({ lossType }: Course): Remedy[] {
  const types = lossType?.split(",") ?? [];
  const withSft = [...types, "sft"].join(",");
  const weights: Remedy = {
    text: "let sft weigh more (--loss-weights)",
    option: "lossWeights",
    value: types.map((type) => type === "sft" ? 2 : 1),
  };
  return [
    {
      text: `add the likelihood of chosen answers (--loss-type ${withSft})`,
      option: "lossType",
      value: withSft,
    },
    ...types.length > 1 && types.includes("sft") ? [weights] : [],
    {
      text: "let good answers weigh more (--desirable-weight)",
      option: "desirableWeight",
      value: 2,
    },
  ];
}

/** What stands before the measures of held-out pairs: of several sets the first one's. */
function heldOutPrefix(metrics: readonly MetricsLine[]): string {
  const names = Object.keys(metrics.find((line) => isEvaluation(line)) ?? {});
  return names.find((name) => name.endsWith("logps/chosen"))?.replace(/logps\/chosen$/, "") ??
    "eval_";
}

function gradient({ steps, course }: Run): Finding | null {
  if (steps.length < FEWEST_STEPS) return null;
  const [begin, end] = [quarters(steps)[0], quarters(steps)[1]].map((part) =>
    median(part.map(({ grad_norm }) => grad_norm))
  );
  if (!(begin > 0 && end > 10 * begin)) return null;
  return {
    sign: "gradient",
    text: `the norm of the gradient rose from ${rounded(begin)} to ${rounded(end)}: ${
      remediesOf(
        course,
        lowerRate(course),
        { text: "give --warmup-steps", option: "warmupSteps", value: 0.1 },
        "clip more (--max-grad-norm)",
      )
    }`,
  };
}

function overflow({ metrics }: Run): Finding | null {
  const all = metrics.filter((line) => "learning_rate" in line);
  const { skipped_steps: skipped = 0, loss_scale: scale = 1 } = all.at(-1)!;
  const isOften = skipped >= 3 && skipped > 0.1 * all.length;
  if (!(isOften || scale < 1)) return null;
  return {
    sign: "overflow",
    text: `${readable(skipped)} of ${
      readable(all.length)
    } steps were skipped as f16 overflowed, and the loss scale fell to ${
      readable(scale)
    }: use --precision f32, or lower --learning-rate`,
  };
}
