// This module is browser compatible.
import { UserError } from "../errors.ts";

/**
 * How to judge the answers to held-out prompts, as the file `grading.json` beside a preference data set says it:
 *
 *   {"answerField": "answer", "preferred": {"name": "helpful", "pattern": "^Sure! .+"}, "other": {"name": "grumpy"}}
 *
 * A rule, not a model: it costs nothing, and two people who apply it agree.
 */
export interface Grading {
  /** The field of a row that holds the right answer. */
  answerField: string;
  /** A completion is in the preferred style if this matches it whole or in part. */
  preferred: { name: string; pattern: RegExp };
  /** Every other completion. */
  other: { name: string };
}

/** The verdict on one completion. */
export interface Grade {
  preferred: boolean;
  correct: boolean;
}

/** Verdicts counted. */
export interface GradeCounts {
  total: number;
  preferred: number;
  correct: number;
}

/**
 * @param json The parsed `grading.json`.
 * @param name What to call the file in errors.
 * @throws {UserError} If a field is missing or the pattern is not a regular expression.
 */
export function parseGrading(json: unknown, name = "grading.json"): Grading {
  const preferred = field(json, "preferred");
  const pattern = text(preferred, "pattern", name, "preferred.pattern");
  return {
    answerField: text(json, "answerField", name, "answerField"),
    preferred: {
      name: text(preferred, "name", name, "preferred.name"),
      pattern: regularExpression(pattern, name),
    },
    other: { name: text(field(json, "other"), "name", name, "other.name") },
  };
}

/**
 * @param grading The rule.
 * @param completion What the model wrote; white space around it does not count.
 * @param answer The right answer. The completion is correct if it holds it as whole words, in whatever case.
 */
export function gradeCompletion(grading: Grading, completion: string, answer: string): Grade {
  const trimmed = completion.trim();
  const wholeWords = new RegExp(`(?<![\\p{L}\\p{N}])${escaped(answer)}(?![\\p{L}\\p{N}])`, "iu");
  return { preferred: grading.preferred.pattern.test(trimmed), correct: wholeWords.test(trimmed) };
}

/** Counts verdicts, so that a report can say "94 of 100". */
export function countGrades(grades: Iterable<Grade>): GradeCounts {
  const counts = { total: 0, preferred: 0, correct: 0 };
  for (const { preferred, correct } of grades) {
    counts.total++;
    if (preferred) counts.preferred++;
    if (correct) counts.correct++;
  }
  return counts;
}

function field(json: unknown, key: string): unknown {
  return typeof json === "object" && json !== null ? Reflect.get(json, key) : undefined;
}

function text(json: unknown, key: string, name: string, path: string): string {
  const value = field(json, key);
  if (typeof value !== "string" || value === "") {
    throw new UserError(
      `Cannot read ${name}: expected a non-empty string in "${path}", found ${
        JSON.stringify(value)
      }`,
    );
  }
  return value;
}

function regularExpression(pattern: string, name: string): RegExp {
  try {
    return new RegExp(pattern, "u");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(
      `Cannot read ${name}: expected a regular expression in "preferred.pattern", found ${
        JSON.stringify(pattern)
      } (${reason})`,
    );
  }
}

function escaped(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
