// This module is browser compatible.
/**
 * Runs that trainings left, here or on the command line, and what their models are called: `RUN` is what a run ended with,
 * `RUN:step-N` its checkpoint after step N.
 *
 * @module
 */
import type { RunRecord } from "../report/run_record.ts";
import type { Runs } from "../run/ports.ts";

/** A run that has ended. */
export interface StoredRun {
  /** The name of its folder. */
  id: string;
  record: RunRecord;
}

export interface RunStore extends Runs {
  /** The newest first. */
  list(): Promise<StoredRun[]>;
  get(id: string): Promise<StoredRun | null>;
  /** Its report, HTML; null if it has none. */
  report(id: string): Promise<string | null>;
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
