// This module is browser compatible.
/**
 * Runs that trainings left, here or on the command line, and what their models are called: `RUN` is what a run ended with,
 * `RUN:step-N` its checkpoint after step N.
 *
 * @module
 */
import type { MetricsLine, RunRecord } from "../report/run_record.ts";

/** A run that has ended. */
export interface StoredRun {
  /** The name of its folder. */
  id: string;
  record: RunRecord;
}

export interface RunStore {
  /** The newest first. */
  list(): Promise<StoredRun[]>;
  /** null if there is none, or it has not ended. */
  get(id: string): Promise<StoredRun | null>;
  /** All lines of its metrics.jsonl; none where there is no such file. */
  metrics(id: string): Promise<MetricsLine[]>;
  /** Its report, HTML; null if it has none. */
  report(id: string): Promise<string | null>;
  /** Steps with a checkpoint, in order; also of a run that goes on. */
  checkpoints(id: string): Promise<number[]>;
  /** Removes a run, such as one that ended before its first checkpoint and is to begin again. */
  remove(id: string): Promise<void>;
  /** Where the model is that a run ended with, or a checkpoint's; null if there is none. */
  pathOf(id: string, step: number | null): Promise<string | null>;
}

/** What a run or a checkpoint is called where a model is asked for. */
export function modelName(run: string, step: number | null): string {
  return step === null ? run : `${run}:step-${step}`;
}

/** @returns What {@link modelName} made the name of; null if it is no such name. */
export function parseModelName(name: string): { run: string; step: number | null } | null {
  const [, run, step] = /^(\w[\w.-]{0,127})(?::step-(\d{1,15}))?$/.exec(name) ?? [];
  return run === undefined ? null : { run, step: step === undefined ? null : Number(step) };
}
