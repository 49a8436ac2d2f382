// This module is browser compatible.
import type { Audit } from "../data/audit.ts";
import type { AnswerScore, PairScore } from "../dpo/evaluate.ts";
import type { Finding } from "../report/findings.ts";
import type { RunPlan } from "../report/header.ts";
import type { Change, DataRecord, MetricsLine, Sample } from "../report/run_record.ts";
import type { Unit } from "../report/words.ts";
import type { Best } from "./evaluation_plan.ts";
import type { StepMetrics } from "../train/step_metrics.ts";

/** What a run tells while it goes on. Plain data: it can be sent to another thread or written as JSON. */
export type RunEvent =
  /** What a person should know of a model's weights, a cache or a checkpoint. */
  | { type: "noted"; subject: "weights" | "cache" | "checkpoint"; text: string }
  /** What a cache brought. `found` in words. */
  | {
    type: "cached";
    what: "tokens" | "reference scores";
    path: string;
    found: string;
    cache: string;
  }
  /** The data of an evaluation or of scores is there. */
  | { type: "loaded"; data: DataRecord }
  /** Everything of a training is known, and its first step is still to come. */
  | { type: "planned"; plan: RunPlan }
  /** A sweep comes to one of its runs, numbered from 1: what follows is of it, unless it is kept from an earlier time. */
  | { type: "begun" | "kept"; name: string; run: number; runs: number }
  | { type: "resumed"; step: number; totalSteps: number }
  /** The steps begin, after the first `firstStep` of a resumed run. */
  | { type: "started"; firstStep: number; totalSteps: number }
  /** The first step that was not skipped is as it must be. `found` in words. */
  | { type: "checked"; found: string }
  | { type: "stepped"; metrics: StepMetrics }
  /** Held-out data was evaluated, within a training. */
  | { type: "evaluated"; metrics: MetricsLine }
  | { type: "interrupted"; step: number; output: string }
  /** The held-out measure has not improved for as long as the patience: the training ends before its planned end. */
  | { type: "stopped"; step: number; best: Best }
  /** The best evaluated model takes the place of the last one. */
  | { type: "restored"; best: Best }
  /** Held-out data before and after training. */
  | { type: "compared"; changes: Change[]; samples: Sample[] }
  /** Labels that the reference doubts. */
  | { type: "doubted"; path: string; labels: NonNullable<Audit["suspectedFlips"]> }
  /** What stands out of the numbers of a training that has ended. */
  | { type: "diagnosed"; findings: Finding[] }
  /** What a stream has read in the end. */
  | { type: "streamed"; data: DataRecord; unit: Unit }
  | { type: "saved"; output: string; durationSeconds: number; changes: Change[] }
  | { type: "scored"; score: PairScore | AnswerScore };

/** Gets the events of a run, in order. */
export type Emit = (event: RunEvent) => void;
