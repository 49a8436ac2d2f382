// This module is browser compatible.
/** What signs of a diagnosis share: what they find, what they look at, and how remedies are put in words. */
import type { OptionName } from "../config/options.ts";
import { answersOf } from "../losses/losses.ts";
import { type MetricsLine, readable } from "./run_record.ts";

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
export type Remedy = string | { text: string; option: OptionName; value: unknown };

/** A run that has ended. */
export interface Run {
  /** The lines of steps that were made. */
  steps: readonly MetricsLine[];
  metrics: readonly MetricsLine[];
  course: Course;
}

/** What good and bad answers are called, and what shows their lengths. */
export function sidesOf({ lossType }: Course) {
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
export function remediesOf({ accepts }: Course, ...remedies: Remedy[]): string {
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
export function quarters(steps: readonly MetricsLine[]): [MetricsLine[], MetricsLine[]] {
  const count = Math.max(1, Math.floor(steps.length / 4));
  return [steps.slice(0, count), steps.slice(-count)];
}

/** Over the lines that have the metric; NaN of none. */
const meanOf = (lines: readonly MetricsLine[], name: string) => {
  const values = lines.flatMap((line) => line[name] ?? []);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
};
export const firstQuarter = (steps: readonly MetricsLine[], name: string) =>
  meanOf(quarters(steps)[0], name);
export const lastQuarter = (steps: readonly MetricsLine[], name: string) =>
  meanOf(quarters(steps)[1], name);

export function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

/** Four digits are enough. */
export const rounded = (value: number) => readable(Number(value.toPrecision(4)));
