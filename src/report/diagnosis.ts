// This module is browser compatible.

/**
 * What a run's numbers say of how it went, in plain words: what was seen, what it means, and what to change.
 *
 * @module
 */

import type { OptionName } from "../config/options.ts";
import { answersOf } from "../losses/losses.ts";
import {
  afterInWords,
  type Change,
  evaluationChanges,
  isEvaluation,
  type MetricsLine,
  readable,
  type Sample,
} from "./run_record.ts";

/** Something that stands out. */
export interface Finding {
  sign:
    | "diverged"
    | "uniform"
    | "untrained"
    | "unmoved"
    | "easy"
    | "falling"
    | "gradient"
    | "overflow"
    | "worse"
    | "drifted"
    | "repetitive"
    | "endless"
    | "length";
  text: string;
}

/** What the numbers of a run are compared with. */
export interface Course {
  learningRate: number;
  /** Null of next-token training. */
  beta: number | null;
  /** The loss while policy and reference are the same; null where there is no such loss. */
  lossOfEquals: number | null;
  vocabSize: number;
  /** Tokens that a chosen answer has in the mean; null where nobody counted. */
  chosenTokens: number | null;
  rowsPerStep: number;
  /** As `--loss-type` names it; null of next-token training. */
  lossType: string | null;
  /** Whether an option could have another value beside the others of the run. */
  accepts(name: OptionName, value: unknown): boolean;
}

/** What to change, in words; with the option that it names and a value, where some runs refuse it. */
type Remedy = string | { text: string; option: OptionName; value: unknown };

/** Steps of which less can be said than of noise. */
const FEWEST_STEPS = 10;
/** Pairs that are all right by chance about never. */
const MANY_PAIRS = 100;
/** Of the share of answers that are as they should be. */
const LARGE_FALL = 0.1;
/** Nats per token: the reference finds what the model writes e times less likely. Healthy runs of the shipped model end below 0.2. */
const LARGE_KL = 1;
/** Of the share of pieces of an answer that it had before. */
const MORE_REPETITION = 0.1;
/** Of the share of answers without an end: of 32 answers, twice what chance explains. */
const MORE_ENDLESS = 0.25;
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

interface Run {
  /** The lines of steps that were made. */
  steps: readonly MetricsLine[];
  metrics: readonly MetricsLine[];
  course: Course;
}

function diverged({ steps, course }: Run): Finding | null {
  const [begin, end] = [course.lossOfEquals ?? steps[0].loss, lastQuarter(steps, "loss")];
  if (!(end > 1.5 * begin + 0.1)) return null;
  return {
    sign: "diverged",
    text: `the loss rose from ${number(begin)} to ${number(end)}: training diverged; ${
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
  const seen = `right answers cost ${number(end)} nats per token, where guessing among ${
    readable(vocabSize)
  } tokens costs ${number(limit)}`;
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
    text: `${seen}, after ${number(first)} at first: the model has unlearned its language; ${
      lowerRate(course)
    }, or take fewer steps`,
  };
}

function unmoved({ steps, course }: Run): Finding | null {
  const { lossOfEquals, learningRate, beta } = course;
  if (lossOfEquals === null || steps.length < FEWEST_STEPS) return null;
  const end = lastQuarter(steps, "loss");
  if (Math.abs(end - lossOfEquals) > 1e-3 * Math.max(1, Math.abs(lossOfEquals))) return null;
  return {
    sign: "unmoved",
    text: `the loss is ${
      number(end)
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
  const words = ([begin, end]: number[]) => `${number(begin)} -> ${number(end)}`;
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
    text: `the norm of the gradient rose from ${number(begin)} to ${number(end)}: ${
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

function worse({ metrics, course }: Run): Finding | null {
  const fallen = evaluationChanges(metrics).filter(({ name, before, after }) =>
    /(^|_)answers\//.test(name) && before - after > LARGE_FALL
  );
  if (fallen.length === 0) return null;
  const inWords = fallen.map(({ name, before, after }) =>
    `${name} fell from ${number(before)} to ${number(after)}`
  );
  return {
    sign: "worse",
    text: `${inWords.join(", ")}: the model tells answers apart, but writes worse ones; ${
      lowerRate(course)
    }, or take fewer steps`,
  };
}

function drifted({ metrics, course }: Run): Finding | null {
  // What is beyond the limit by more than chance.
  const far = ofAnswers(metrics, "kl").filter(({ after, error = 0 }) => after - error > LARGE_KL);
  if (far.length === 0) return null;
  const inWords = far.map((change) => `${change.name} is ${afterInWords(change)}`);
  const times = Math.exp(Math.max(...far.map(({ after }) => after)));
  const { beta } = course;
  const tie = beta !== null && beta < USUAL.beta[1] ? `, raise --beta (${readable(beta)})` : "";
  return {
    sign: "drifted",
    text:
      `${inWords.join(", ")} nats per token: what the model writes is ${
        number(times)
      } times less ` +
      `likely to its reference, per token in the mean, so it drifted far from it; ${
        lowerRate(course)
      }${tie}, or take fewer steps`,
  };
}

function repetitive({ metrics, course }: Run): Finding | null {
  const risen = ofAnswers(metrics, "completions/seq_rep_4")
    .filter(({ before, after }) => after - before > MORE_REPETITION);
  if (risen.length === 0) return null;
  return {
    sign: "repetitive",
    text: `${rises(risen)}: answers repeat themselves; ${lowerRate(course)}, or take fewer steps`,
  };
}

function endless({ metrics, course }: Run): Finding | null {
  const risen = ofAnswers(metrics, "completions/clipped_ratio")
    .filter(({ before, after }) => after - before > MORE_ENDLESS);
  if (risen.length === 0) return null;
  return {
    sign: "endless",
    text:
      `${
        rises(risen)
      }: fewer answers come to an end; see whether good ones end with the end token ` +
      `(deno task inspect), ${lowerRate(course)}, or take fewer steps`,
  };
}

/** A measure of the answers that evaluations let the model draw, of each held-out set. */
function ofAnswers(metrics: readonly MetricsLine[], measure: string): Change[] {
  return evaluationChanges(metrics)
    .filter(({ name }) => name === measure || name.endsWith(`_${measure}`));
}

const rises = (changes: readonly Change[]) =>
  changes.map(({ name, before, after }) =>
    `${name} rose from ${number(before)} to ${number(after)}`
  ).join(", ");

function length(samples: readonly Sample[], course: Course): Finding | null {
  const mean = (side: "policy" | "reference") =>
    samples.reduce((sum, sample) => sum + sample[side].length, 0) / samples.length;
  const ratio = mean("policy") / mean("reference");
  const { good, lengths } = sidesOf(course);
  if (samples.length < 3 || !(ratio > 2 || ratio < 0.5)) return null;
  return {
    sign: "length",
    text:
      `answers are ${
        number(ratio)
      } times as long as those of the reference (characters of ${samples.length} samples): length may be what ` +
      `was learned; ${
        remediesOf(
          course,
          `see whether ${good} answers are longer (${lengths})`,
          { text: "let their end weigh less (--ld-alpha)", option: "ldAlpha", value: 0.5 },
        )
      }`,
  };
}

/** What good and bad answers are called, and what shows their lengths. */
function sidesOf({ lossType }: Course) {
  return lossType !== null && answersOf({ lossType, lossWeights: null })
    ? {
      unit: "answers",
      good: "good",
      bad: "bad",
      both: "good and bad answers",
      lengths: "deno task inspect",
    }
    : {
      unit: "pairs",
      good: "chosen",
      bad: "rejected",
      both: "chosen and rejected",
      lengths: "deno task inspect --audit",
    };
}

/** Those that the options of the run accept, in words. */
function remediesOf({ accepts }: Course, ...remedies: Remedy[]): string {
  const texts = remedies.flatMap((remedy) =>
    typeof remedy === "string"
      ? [remedy]
      : accepts(remedy.option, remedy.value)
      ? [remedy.text]
      : []
  );
  return [...texts.slice(0, -2), texts.slice(-2).join(", or ")].join(", ");
}

/** The first and the last quarter of the steps, at least one each. */
function quarters(steps: readonly MetricsLine[]): [MetricsLine[], MetricsLine[]] {
  const count = Math.max(1, Math.floor(steps.length / 4));
  return [steps.slice(0, count), steps.slice(-count)];
}

/** Over the lines that have the metric; NaN of none. */
const meanOf = (lines: readonly MetricsLine[], name: string) => {
  const values = lines.flatMap((line) => line[name] ?? []);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
};
const firstQuarter = (steps: readonly MetricsLine[], name: string) =>
  meanOf(quarters(steps)[0], name);
const lastQuarter = (steps: readonly MetricsLine[], name: string) =>
  meanOf(quarters(steps)[1], name);

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

const number = (value: number) => readable(Number(value.toPrecision(4)));

function lowerRate({ learningRate, beta }: Pick<Course, "learningRate" | "beta">): string {
  const ofBeta = beta !== null && beta > USUAL.beta[1]
    ? ` and --beta (${readable(beta)}, where 0.1 is usual)`
    : "";
  return `lower --learning-rate (${readable(learningRate)})${ofBeta}`;
}

/** Where these options lie in almost all trainings. */
const USUAL = { beta: [1e-3, 10], learningRate: [1e-8, 1e-2] } as const;

/** The options whose values matter so much. */
export interface Steering {
  learningRate: number;
  beta?: number;
  optim: string;
}

/** What is unusual about a run that is still to begin, a sentence each. */
export function unusualOptions({ learningRate, beta = USUAL.beta[0], optim }: Steering): string[] {
  const isSgd = optim === "sgd"; // whose rate depends on the size of gradients
  return [
    ...beta < USUAL.beta[0]
      ? [`--beta ${readable(beta)} leaves almost nothing of the loss's gradient: 0.1 is usual`]
      : [],
    ...beta > USUAL.beta[1]
      ? [
        `--beta ${
          readable(beta)
        } keeps the model at its reference, or makes it diverge: 0.1 is usual`,
      ]
      : [],
    ...learningRate > USUAL.learningRate[1] && !isSgd
      ? [
        `--learning-rate ${
          readable(learningRate)
        } makes almost every model diverge: 1e-6 to 1e-3 is usual`,
      ]
      : [],
    ...learningRate > 0 && learningRate < USUAL.learningRate[0] && !isSgd
      ? [
        `--learning-rate ${readable(learningRate)} hardly changes a weight: 1e-6 to 1e-3 is usual`,
      ]
      : [],
  ];
}

/** What to change where numbers overflow. */
export function remedyOf({ learningRate, beta }: Steering): string {
  return lowerRate({ learningRate, beta: beta ?? null });
}
