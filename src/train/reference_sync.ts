// This module is browser compatible.
import type { Options } from "../config/resolve.ts";
import type { Reference } from "../dpo/reference.ts";
import type { Weights } from "../model/weights.ts";

/** The options that say how a reference follows its policy. */
export type SyncOptions = Pick<Options<"train">, "refModelMixupAlpha" | "refModelSyncSteps">;

/**
 * TR-DPO, soft or with alpha 1 hard (Gorbatovski et al. 2024, arXiv:2404.09656): the reference follows the policy, at the steps
 * of TRL's SyncRefModelCallback.
 */
export class ReferenceSync {
  constructor(
    readonly policy: Weights,
    readonly reference: Reference,
    readonly options: SyncOptions,
  ) {}

  /**
   * Mixes policy and reference if it is time to: after each step whose number is a multiple. As in TRL a step that was skipped,
   * since it overflowed, counts like the others.
   *
   * @param step Steps done, this one included.
   */
  afterStep(step: number): void {
    const { refModelMixupAlpha, refModelSyncSteps } = this.options;
    if (step % refModelSyncSteps === 0) this.reference.follow(this.policy, refModelMixupAlpha);
  }
}
