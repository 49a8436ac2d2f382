// This module is browser compatible.
import type { Options } from "../config/resolve.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { blankMeasures } from "../dpo/evaluate.ts";
import { scoreOptionsOf } from "../dpo/pack.ts";
import { answersOf, needsReference } from "../losses/losses.ts";
import { blankDrawn } from "./drawn_answers.ts";
import { EvaluationPlan } from "./evaluation_plan.ts";
import { namedMeasures } from "./held_out.ts";
import { heldOutDatasets } from "./inputs.ts";

/**
 * Refuses a metric that no evaluation can have, before any row is read. Whether the rows at hand have it, such as answers that
 * can be judged, the training says itself.
 *
 * @throws {UserError} As {@link EvaluationPlan.check}.
 */
export function checkMetricName(options: Options<"train">): void {
  const plan = new EvaluationPlan(options, Infinity);
  const sets = heldOutDatasets(options).map(({ set }) => set);
  const isOfGrades = sets.some((set) =>
    plan.metric.startsWith(`eval_${set === undefined ? "" : `${set}_`}answers/`)
  );
  if (!isOfGrades) plan.check(sets.flatMap((set) => possibleMeasures(set, options)));
}

/** The names of all that evaluations of a set may measure but grades, whose names the set brings. */
function possibleMeasures(set: string | undefined, options: Options<"train">): string[] {
  const evaluating = { ...scoreOptionsOf(options), objective: options };
  const pairs = blankMeasures(everyKind(answersOf(options) !== null), evaluating);
  return Object.keys(namedMeasures(set, {
    pairs,
    strong: options.filter === "none" ? {} : pairs,
    drawn: blankDrawn(1, needsReference(options)),
    grades: null,
  }));
}

/** Pairs of every kind that is measured by itself: with a longer and with a shorter chosen answer, or good and bad answers. */
function everyKind(isOfAnswers: boolean): PreferencePair[] {
  return [true, false].map((label, index) => {
    const [longer, shorter] = [3, 2].map((length) => ({
      ids: new Uint32Array(length),
      promptLength: 1,
    }));
    const [chosen, rejected] = label ? [longer, shorter] : [shorter, longer];
    return { index, chosen, rejected, ...isOfAnswers ? { label } : {} };
  });
}
