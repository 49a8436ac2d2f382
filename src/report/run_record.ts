// This module is browser compatible.
import type { Command, Origin } from "../config/resolve.ts";
import type { FilterReport } from "../data/filter_report.ts";
import type { Audit } from "../data/audit.ts";
import type { DeviceInfo } from "../gpu/device.ts";
import type { ModelIdentity } from "../train/identity.ts";

/** What `run.json` holds: everything needed to know what a run was, and to run it again. */
export interface RunRecord {
  command: Command;
  /** ISO 8601. */
  startedAt: string;
  /** Of the whole command, evaluations included. */
  durationSeconds: number;
  versions: Readonly<Record<string, string>>;
  device: DeviceInfo;
  options: Readonly<Record<string, unknown>>;
  origins: Readonly<Record<string, Origin>>;
  /** The folder that configuration and tokenizer of the model came from. */
  source: string;
  /** Where adapters were trained: what the model is that they belong to, SHA-256 digests. */
  base?: ModelIdentity;
  /** Weights, all and those that were trained. */
  parameters: { total: number; trained: number };
  /** What tensors on the GPU took at the worst time, as planned and as it was. */
  memory: { plannedBytes: number; peakBytes: number };
  data: readonly DataRecord[];
  /** The step whose model was saved, where that is not the last one. */
  bestStep?: number;
  /** What stands out of its numbers, in words. */
  diagnosis?: readonly { sign: string; text: string }[];
  /** The lines of its header, those of `--verbose` included. */
  header: readonly string[];
}

/** What became of a dataset. */
export interface DataRecord {
  /** What it was for: "train", "eval". */
  role: string;
  /** As the user named it. */
  path: string;
  /** The name of a held-out set, where there are several. */
  set?: string;
  /** The files that it came from. */
  files: readonly string[];
  /** The shape of its rows, in words. */
  format: string;
  /** Whether they are a tool's rows, made into pairs. */
  translated?: boolean;
  /** How they became tokens, in words. */
  encoding: string;
  /** Columns that say nothing to the model. */
  unusedColumns: readonly string[];
  /** Of the tokens that were used; where they were streamed, of the files' names and sizes. */
  hash: string;
  counts: Readonly<Record<string, number>>;
  /** What is odd about it; of preference data. */
  audit?: Audit;
  /** What the strong-preference filter makes of it; missing where there was none. Held-out pairs are measured with and without. */
  filter?: FilterReport;
}

/** A line of `metrics.jsonl`: a training step, or an evaluation with `eval_` before its names. */
export type MetricsLine = Readonly<Record<string, number>>;

/** A held-out prompt answered before and after training. */
export interface Sample {
  /** The name of the held-out set, where there are several. */
  set?: string;
  prompt: string;
  reference: string;
  policy: string;
}

/** What a table of samples is called: a reference that follows the policy is not the model before training. */
export function answersTitle({ syncRefModel }: RunRecord["options"]): string {
  return syncRefModel
    ? "Answers of the reference, mixed with the model so far, and of the model"
    : "Answers, before and after";
}

/** The answers of an evaluation on the way: a line of `samples.jsonl`. */
export interface StepSample extends Sample {
  step: number;
}

/** A measure of the first and of the last evaluation. */
export interface Change {
  name: string;
  before: number;
  after: number;
  /** Half the width of the 95 % interval of `after`, where it is known. */
  error?: number;
}

/**
 * @param step Of the saved model; without it the last evaluation's.
 * @returns The evaluations' measures side by side, without the `eval_`; nothing if there was only one evaluation.
 */
export function evaluationChanges(metrics: readonly MetricsLine[], step?: number): Change[] {
  const evaluations = metrics.filter(isEvaluation);
  const saved = evaluations.findLast((line) => line.step === step);
  const [first, last] = [evaluations[0], saved ?? evaluations.at(-1)];
  if (first === undefined || last === undefined || first === last) return [];
  return Object.keys(last)
    .filter((name) => isHeldOut(name) && name in first && !name.endsWith(INTERVAL))
    .map((name) => {
      const error = last[name + INTERVAL];
      const change = { name: name.replace(/^eval_/, ""), before: first[name], after: last[name] };
      return error === undefined ? change : { ...change, error };
    });
}

/** Ends the names of half widths; see src/dpo/metrics.ts. */
export const INTERVAL = "_ci95";

/** @returns What a measure is after training, such as `0.87 ± 0.065`. */
export function afterInWords({ after, error }: Change): string {
  return error === undefined ? readable(after) : `${readable(after)} ± ${error.toPrecision(2)}`;
}

/** Whether a line is of an evaluation. */
export function isEvaluation(line: MetricsLine): boolean {
  return Object.keys(line).some(isHeldOut);
}

function isHeldOut(name: string): boolean {
  return name.startsWith("eval_");
}

/** @returns The number as people read it: five digits, with commas where it is whole. */
export function readable(value: unknown): string {
  if (typeof value !== "number") return typeof value === "string" ? value : JSON.stringify(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const rounded = Number(value.toPrecision(5));
  return Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6
    ? rounded.toExponential()
    : String(rounded);
}

/** @returns Where a value came from, in words. */
export function originInWords({ source, detail }: Origin): string {
  return detail === undefined ? source : `${source}: ${detail}`;
}
