// This module is browser compatible.
import type { OptionName, Options } from "../config/resolve.ts";
import { specOf } from "../config/values.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelIdentity } from "../train/identity.ts";
import { dependsOnEnd } from "../train/schedule.ts";

/** What a run's numbers depend on besides its options. */
export interface RunContent {
  precision: Operand;
  totalSteps: number;
  model: ModelIdentity;
  reference: ModelIdentity | null;
  /** Digest of the tokens; of a stream that of its files' names and sizes. */
  data: string;
  /** The same of held-out sets. */
  heldOut: readonly string[];
}

/** What a resumed run must have in common with the interrupted one, for its numbers to be the same. */
export function fingerprintOf(
  options: Options<"train"> | Options<"sft">,
  { precision, totalSteps, model, reference, data, heldOut }: RunContent,
): Record<string, unknown> {
  const kept = (Object.entries(options) as [OptionName, unknown][])
    .filter(([name]) => isCompared(name, options.streaming));
  const { lrSchedulerType: type, warmupSteps } = options;
  // Where the rate does not depend on where the run ends, the run may be made longer.
  const isFixed = dependsOnEnd({ type, warmupSteps });
  return {
    model,
    reference,
    data,
    ...Object.fromEntries(kept),
    // Where evaluations decide the rate, the numbers of a run depend on what is evaluated, and when.
    ...type === "reduce_lr_on_plateau" && "evalSteps" in options
      ? {
        evalStrategy: options.evalStrategy,
        evalSteps: options.evalSteps,
        metricForBestModel: options.metricForBestModel,
        greaterIsBetter: options.greaterIsBetter,
        heldOut,
      }
      : {},
    precision,
    totalSteps: isFixed ? totalSteps : undefined,
  };
}

/** Of a stream not all content is known, so the names of its dataset count too. */
function isCompared(name: OptionName, streaming: boolean): boolean {
  const { resume } = specOf(name);
  return resume === undefined || streaming && resume === "content in memory";
}
