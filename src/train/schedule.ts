// This module is browser compatible.
import type { OptionValue } from "../config/resolve.ts";

export type ScheduleType = OptionValue<"lrSchedulerType">;

/** What a schedule's course is made from. */
export interface Schedule {
  type: ScheduleType;
  learningRate: number;
  /** Steps in which the rate rises linearly from 0; below 1 a share of all steps. */
  warmupSteps: number;
  totalSteps: number;
  /** Share of the learning rate at the end, of those that read it. */
  minLrRate: number;
  /** Exponent of `polynomial`. */
  lrPower: number;
  /** Steps in which `warmup_stable_decay` falls at the end; below 1 a share of all steps. */
  lrDecaySteps: number;
}

/** Where a step is, behind the warm-up. */
interface Place {
  step: number;
  warmup: number;
  /** From 0 at the end of the warm-up to 1 at the end of all steps. */
  progress: number;
}

interface Course {
  /** Whether the rate depends on where the run ends. */
  dependsOnEnd: boolean;
  /** The rate behind the warm-up, as a factor of the learning rate. */
  factor(place: Place, schedule: Schedule): number;
}

/** Where `polynomial` ends, as in transformers. */
const POLYNOMIAL_END = 1e-7;
/** The steps of `inverse_sqrt` where there is no warm-up, as in transformers. */
const TIMESCALE = 10_000;

const halfCosine = (progress: number) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));

/** Courses of the learning rate under the names of transformers' schedulers, whose numbers they give. */
export const SCHEDULES = {
  constant: { dependsOnEnd: false, factor: () => 1 },
  constant_with_warmup: { dependsOnEnd: false, factor: () => 1 },
  linear: { dependsOnEnd: true, factor: ({ progress }) => Math.max(0, 1 - progress) },
  cosine: { dependsOnEnd: true, factor: ({ progress }) => halfCosine(progress) },
  cosine_with_min_lr: {
    dependsOnEnd: true,
    factor: ({ progress }, { minLrRate }) => halfCosine(progress) * (1 - minLrRate) + minLrRate,
  },
  polynomial: {
    dependsOnEnd: true,
    factor({ progress }, { lrPower, learningRate }) {
      const range = learningRate - POLYNOMIAL_END;
      return (range * Math.max(0, 1 - progress) ** lrPower + POLYNOMIAL_END) / learningRate;
    },
  },
  inverse_sqrt: {
    dependsOnEnd: false,
    factor({ step, warmup }) {
      const timescale = warmup || TIMESCALE;
      return 1 / Math.sqrt((step + timescale - warmup) / timescale);
    },
  },
  warmup_stable_decay: {
    dependsOnEnd: true,
    factor({ step }, { totalSteps, lrDecaySteps, minLrRate }) {
      const decay = stepsOf(lrDecaySteps, totalSteps);
      const progress = Math.min(1, Math.max(0, step - (totalSteps - decay)) / Math.max(1, decay));
      return (1 - minLrRate) * halfCosine(progress) + minLrRate;
    },
  },
  // Where held-out measures decide, behind each evaluation: src/train/plateau.ts.
  reduce_lr_on_plateau: { dependsOnEnd: false, factor: () => 1 },
} satisfies Record<ScheduleType, Course>;

/** Below 1 it is a share of all steps. */
const stepsOf = (steps: number, totalSteps: number) =>
  steps < 1 ? Math.ceil(steps * totalSteps) : steps;

/**
 * The learning rate of a step, as transformers' schedulers give it: the first step of a warm-up has rate 0.
 *
 * @param step Counted from 0.
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { type, learningRate, totalSteps, warmupSteps } = schedule;
  const warmup = stepsOf(warmupSteps, totalSteps);
  if (step < warmup) return learningRate * step / warmup;
  const course: Course = SCHEDULES[type];
  const progress = (step - warmup) / Math.max(1, totalSteps - warmup);
  return learningRate * course.factor({ step, warmup, progress }, schedule);
}

/** Whether the rate of a step depends on where the run ends. */
export function dependsOnEnd(
  { type, warmupSteps }: Pick<Schedule, "type" | "warmupSteps">,
): boolean {
  return SCHEDULES[type].dependsOnEnd || warmupSteps > 0 && warmupSteps < 1;
}
