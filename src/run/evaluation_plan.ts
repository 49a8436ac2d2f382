// This module is browser compatible.
import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { INTERVAL, type MetricsLine } from "../report/run_record.ts";

type EvaluationOptions =
  & Pick<
    Options<"train">,
    | "evalStrategy"
    | "evalSteps"
    | "metricForBestModel"
    | "greaterIsBetter"
    | "loadBestModelAtEnd"
    | "earlyStoppingPatience"
  >
  & Partial<Pick<Options<"train">, "lrSchedulerType">>;

/** Measures of which less is better: by transformers' rule what ends with "loss"; and what tells how far a model has drifted or
 * how badly it writes, which transformers' trainers do not measure. */
const LESS_IS_BETTER = /loss$|_(kl|kl_mismatched|completions\/(clipped_ratio|seq_rep_4))$/;

/** The step with the best evaluation so far. */
export interface Best {
  step: number;
  /** As metrics.jsonl names it. */
  metric: string;
  value: number;
}

/**
 * When a training evaluates on its way, which evaluation was the best, and when it has improved for too long no more. Everything
 * follows from the lines of metrics.jsonl, so that a resumed run judges as the whole one.
 */
export class EvaluationPlan {
  readonly metric: string;

  /** @param stepsPerEpoch Infinity for a stream. */
  constructor(readonly options: EvaluationOptions, readonly stepsPerEpoch: number) {
    this.metric = `eval_${options.metricForBestModel.replace(/^eval_/, "")}`;
  }

  /** Whether the model after a step is evaluated, besides before the first and after the last one. */
  isDue(step: number): boolean {
    const { evalStrategy, evalSteps } = this.options;
    if (evalStrategy === "no") return false;
    return step % (evalStrategy === "steps" ? evalSteps : this.stepsPerEpoch) === 0;
  }

  /** @throws {UserError} If there is no such metric. @param measures The names of all that is measured. */
  check(measures: readonly string[]): void {
    const { evalStrategy, metricForBestModel } = this.options;
    const names = measures.filter((name) => !name.endsWith(INTERVAL));
    if (evalStrategy === "no" || names.includes(this.metric)) return;
    if (metricForBestModel === "loss" && !this.#chooses) return; // with names of sets there is none
    throw new UserError(
      `Expected --metric-for-best-model to be one of ${
        names.map((name) => name.replace(/^eval_/, "")).join(", ")
      }, found "${metricForBestModel}"`,
    );
  }

  /** Whether larger values of the metric are better. */
  get greater(): boolean {
    return this.options.greaterIsBetter ?? !LESS_IS_BETTER.test(this.metric);
  }

  /** Which evaluation is the best, in words; null where none is chosen. */
  get inWords(): string | null {
    if (!this.#chooses) return null;
    const [size, other] = this.greater ? ["largest", "no-greater"] : ["smallest", "greater"];
    const unless = this.options.greaterIsBetter === null
      ? `; --${other}-is-better asks for the opposite`
      : "";
    return `the evaluation with the ${size} ${this.metric}${unless}`;
  }

  get #chooses(): boolean {
    const { loadBestModelAtEnd, earlyStoppingPatience, lrSchedulerType } = this.options;
    return loadBestModelAtEnd || earlyStoppingPatience > 0 ||
      lrSchedulerType === "reduce_lr_on_plateau";
  }

  /** The best evaluation of a trained model; of equal ones the first. */
  best(lines: readonly MetricsLine[]): Best | null {
    const { metric, greater } = this;
    const isBetter = (a: number, b: number) => greater ? a > b : a < b;
    let best: Best | null = null;
    for (const { step, value } of this.#evaluations(lines)) {
      if (best === null || isBetter(value, best.value)) best = { step, metric, value };
    }
    return best;
  }

  /** Whether the last evaluations, as many as the patience, were no better than one before them. */
  isExhausted(lines: readonly MetricsLine[]): boolean {
    const { earlyStoppingPatience: patience } = this.options;
    const best = this.best(lines);
    if (patience === 0 || best === null) return false;
    return this.#evaluations(lines).filter(({ step }) => step > best.step).length >= patience;
  }

  /** Of a training that evaluates before and after it alone. */
  static readonly none = new EvaluationPlan({
    evalStrategy: "no",
    evalSteps: 1,
    metricForBestModel: "loss",
    greaterIsBetter: null,
    loadBestModelAtEnd: false,
    earlyStoppingPatience: 0,
  }, Infinity);

  #evaluations(lines: readonly MetricsLine[]): { step: number; value: number }[] {
    return lines.filter((line) => line.step > 0 && this.metric in line)
      .map((line) => ({ step: line.step, value: line[this.metric] }));
  }
}
