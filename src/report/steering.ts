// This module is browser compatible.
/** The options that decide whether a training goes well at all: what of them is unusual, and what to change. */
import type { Course } from "./findings.ts";
import { readable } from "./run_record.ts";

/** To learn more slowly. */
export function lowerRate({ learningRate, beta }: Pick<Course, "learningRate" | "beta">): string {
  const ofBeta = beta !== null && beta > USUAL.beta[1]
    ? ` and --beta (${readable(beta)}, where 0.1 is usual)`
    : "";
  return `lower --learning-rate (${readable(learningRate)})${ofBeta}`;
}

/** Where these options lie in almost all trainings. */
export const USUAL = { beta: [1e-3, 10], learningRate: [1e-8, 1e-2] } as const;

/** The options whose values matter so much. */
export interface Steering {
  learningRate: number;
  beta?: number;
  optim: string;
}

/** What is unusual about a run that is still to begin, a sentence each. */
export function unusualOptions({ learningRate, beta = USUAL.beta[0], optim }: Steering): string[] {
  const isSgd = optim === "sgd"; // whose rate depends on the size of gradients
  return [
    ...beta < USUAL.beta[0]
      ? [`--beta ${readable(beta)} leaves almost nothing of the loss's gradient: 0.1 is usual`]
      : [],
    ...beta > USUAL.beta[1]
      ? [
        `--beta ${
          readable(beta)
        } keeps the model at its reference, or makes it diverge: 0.1 is usual`,
      ]
      : [],
    ...learningRate > USUAL.learningRate[1] && !isSgd
      ? [
        `--learning-rate ${
          readable(learningRate)
        } makes almost every model diverge: 1e-6 to 1e-3 is usual`,
      ]
      : [],
    ...learningRate > 0 && learningRate < USUAL.learningRate[0] && !isSgd
      ? [
        `--learning-rate ${readable(learningRate)} hardly changes a weight: 1e-6 to 1e-3 is usual`,
      ]
      : [],
  ];
}

/** What to change where numbers overflow. */
export function remedyOf({ learningRate, beta }: Steering): string {
  return lowerRate({ learningRate, beta: beta ?? null });
}
