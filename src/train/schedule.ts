// This module is browser compatible.

/** Course of the learning rate under transformers' names. */
export interface Schedule {
  type: "constant" | "linear" | "cosine";
  learningRate: number;
  /** Steps in which the rate rises linearly from 0; below 1 a share of all steps. */
  warmupSteps: number;
  totalSteps: number;
}

/**
 * The learning rate of a step, as transformers' schedulers give it: the first step of a warm-up has rate 0.
 *
 * @param step Counted from 0.
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { type, learningRate, totalSteps } = schedule;
  const warmup = schedule.warmupSteps < 1
    ? Math.ceil(schedule.warmupSteps * totalSteps)
    : schedule.warmupSteps;
  if (step < warmup) return learningRate * step / warmup;
  if (type === "constant") return learningRate;
  const progress = (step - warmup) / Math.max(1, totalSteps - warmup);
  if (type === "linear") return learningRate * Math.max(0, 1 - progress);
  return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}
