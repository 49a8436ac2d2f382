import { wordsOf } from "../run/event_words.ts";
import type { RunEvent } from "../run/events.ts";
import type { StepMetrics } from "../train/step_metrics.ts";
import type { Context, Output } from "./context.ts";
import { clock, Progress } from "./progress.ts";

/** Steps after which the time for the others is printed. */
const TIMED_STEPS = 3;

export interface PrinterOptions {
  command: "train" | "sft";
  /** Whether details of the header are printed. */
  verbose: boolean;
  /** Steps between lines where there is no terminal. */
  loggingSteps: number;
  /** What the progress line shows of a step. */
  shown(metrics: StepMetrics): Record<string, number>;
}

/** Prints the events of a training for people. */
export class RunPrinter {
  #progress: Progress | null = null;
  #firstStep = 0;
  #totalSteps = 0;
  #timedFrom = 0;

  constructor(readonly output: Output, readonly options: PrinterOptions) {}

  show(event: RunEvent): void {
    if (event.type === "started") this.#start(event);
    for (const line of wordsOf(event)) {
      if (!line.detail || this.options.verbose) this.#say(line.text);
    }
    if (event.type === "stepped") this.#step(event.metrics);
    // From here on lines stand below the bar.
    if (event.type === "interrupted") this.#progress = null;
  }

  #start({ firstStep, totalSteps }: Extract<RunEvent, { type: "started" }>): void {
    const { command: label, loggingSteps } = this.options;
    this.#firstStep = firstStep;
    this.#totalSteps = totalSteps;
    this.#progress = new Progress(this.output, { label, totalSteps, firstStep, loggingSteps });
  }

  #step(metrics: StepMetrics): void {
    const { step, tokens } = metrics;
    const done = step - this.#firstStep;
    const left = this.#totalSteps - step;
    if (this.options.command === "train") {
      if (done === 1) this.#timedFrom = performance.now(); // the first one compiles
      else if (done === TIMED_STEPS && left > 0) {
        const seconds = (performance.now() - this.#timedFrom) / (TIMED_STEPS - 1) / 1000;
        this.#say(`time       about ${clock(left * seconds)} for the ${left} steps left`);
      }
    }
    this.#progress!.update({ step, tokens, values: this.options.shown(metrics) });
    if (left === 0) this.#progress = null;
  }

  /** A line of its own, above the bar while there is one. */
  #say(line: string): void {
    if (this.#progress) this.#progress.say(line);
    else this.output.write(`${line}\n`);
  }
}

/** Prints the events of an evaluation or of scores, as far as they are for people; @returns what prints one. */
export function printDetails({ stderr }: Pick<Context, "stderr">): (event: RunEvent) => void {
  return (event) => {
    for (const { text } of wordsOf(event)) stderr.write(`${text}\n`);
  };
}
