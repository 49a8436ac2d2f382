import type { Output } from "./context.ts";

/** What is new after a step. */
export interface StepProgress {
  /** Steps done, of {@link ProgressOptions.totalSteps}. */
  step: number;
  /** Tokens that this step computed. */
  tokens: number;
  /** What to show, in this order: `{ loss: 0.61, accuracy: 0.9 }`. */
  values: Readonly<Record<string, number>>;
}

export interface ProgressOptions {
  label: string;
  totalSteps: number;
  /** Steps that were done before, by the run that is resumed. */
  firstStep?: number;
  /** Steps between lines where there is no terminal. */
  loggingSteps: number;
  /** Milliseconds, from any zero. */
  nowMs?: () => number;
}

const BAR_COLUMNS = 20;

/**
 * Shows how far training is: a bar that is drawn over itself in a terminal, now and then a line elsewhere.
 * Our own, as cli-progress writes to Node streams by a timer of its own, and this is all that would remain around it.
 */
export class Progress {
  readonly #output: Output;
  readonly #options: Required<ProgressOptions>;
  readonly #startMs: number;
  #tokens = 0;

  constructor(output: Output, options: ProgressOptions) {
    this.#output = output;
    this.#options = { firstStep: 0, nowMs: () => performance.now(), ...options };
    this.#startMs = this.#options.nowMs();
  }

  update({ step, tokens, values }: StepProgress): void {
    this.#tokens += tokens;
    const { totalSteps, loggingSteps } = this.#options;
    const columns = this.#output.columns();
    const line = this.#line(step, values);
    if (columns !== null) {
      this.#output.write(`\r${line.slice(0, columns - 1)}\x1b[K${step >= totalSteps ? "\n" : ""}`);
    } else if (step % loggingSteps === 0 || step >= totalSteps) {
      this.#output.write(`${line}\n`);
    }
  }

  /** Writes a line of its own above the bar. */
  say(line: string): void {
    this.#output.write(this.#output.columns() === null ? `${line}\n` : `\r${line}\x1b[K\n`);
  }

  #line(step: number, values: StepProgress["values"]): string {
    const { label, totalSteps, firstStep, nowMs } = this.#options;
    const seconds = Math.max(nowMs() - this.#startMs, 1) / 1000;
    const done = Math.floor(BAR_COLUMNS * Math.min(step / totalSteps, 1));
    const bar = "█".repeat(done).padEnd(BAR_COLUMNS, "░");
    const shown = Object.entries(values).map(([name, value]) => `${name} ${significant(value)}`);
    const rate = Math.round(this.#tokens / seconds).toLocaleString("en");
    const etaSeconds = seconds / Math.max(step - firstStep, 1) * (totalSteps - step);
    return [
      `${label} ${bar} ${step}/${totalSteps}`,
      ...shown,
      `${rate} tokens/s`,
      `ETA ${clock(etaSeconds)}`,
    ]
      .join("  ");
  }
}

/** @returns Four characters or a few more: `0.693`, `12.3`, `-1.05`, `NaN`. */
function significant(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** @returns `0:07`, `12:30`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(Math.round(seconds), 0);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours, minutes, rest] = parts.map(String);
  return hours === "0"
    ? `${minutes}:${rest.padStart(2, "0")}`
    : `${hours}:${minutes.padStart(2, "0")}:${rest.padStart(2, "0")}`;
}
