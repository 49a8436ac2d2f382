// This module is browser compatible.
/** What evaluations and samples say of the answers that a model writes. */
import { type Course, type Finding, remediesOf, rounded, type Run, sidesOf } from "./findings.ts";
import {
  afterInWords,
  type Change,
  evaluationChanges,
  type MetricsLine,
  readable,
  type Sample,
} from "./run_record.ts";
import { lowerRate, USUAL } from "./steering.ts";

/** Of the share of answers that are as they should be. */
const LARGE_FALL = 0.1;
/** Nats per token: the reference finds what the model writes e times less likely. Healthy runs of the shipped model end below 0.2. */
const LARGE_KL = 1;
/** Of the share of pieces of an answer that it had before. */
const MORE_REPETITION = 0.1;
/** Of the share of answers without an end: of 32 answers, twice what chance explains. */
const MORE_ENDLESS = 0.25;

export function worse({ metrics, course }: Run): Finding | null {
  const fallen = evaluationChanges(metrics).filter(({ name, before, after }) =>
    /(^|_)answers\//.test(name) && before - after > LARGE_FALL
  );
  if (fallen.length === 0) return null;
  const inWords = fallen.map(({ name, before, after }) =>
    `${name} fell from ${rounded(before)} to ${rounded(after)}`
  );
  return {
    sign: "worse",
    text: `${inWords.join(", ")}: the model tells answers apart, but writes worse ones; ${
      lowerRate(course)
    }, or take fewer steps`,
  };
}

export function drifted({ metrics, course }: Run): Finding | null {
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
        rounded(times)
      } times less ` +
      `likely to its reference, per token in the mean, so it drifted far from it; ${
        lowerRate(course)
      }${tie}, or take fewer steps`,
  };
}

export function repetitive({ metrics, course }: Run): Finding | null {
  const risen = ofAnswers(metrics, "completions/seq_rep_4")
    .filter(({ before, after }) => after - before > MORE_REPETITION);
  if (risen.length === 0) return null;
  return {
    sign: "repetitive",
    text: `${rises(risen)}: answers repeat themselves; ${lowerRate(course)}, or take fewer steps`,
  };
}

export function endless({ metrics, course }: Run): Finding | null {
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
    `${name} rose from ${rounded(before)} to ${rounded(after)}`
  ).join(", ");

export function length(samples: readonly Sample[], course: Course): Finding | null {
  const mean = (side: "policy" | "reference") =>
    samples.reduce((sum, sample) => sum + sample[side].length, 0) / samples.length;
  const ratio = mean("policy") / mean("reference");
  const { good, lengths } = sidesOf(course);
  if (samples.length < 3 || !(ratio > 2 || ratio < 0.5)) return null;
  return {
    sign: "length",
    text:
      `answers are ${
        rounded(ratio)
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
