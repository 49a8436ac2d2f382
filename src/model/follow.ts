// This module is browser compatible.
import type { Commands } from "../gpu/commands.ts";
import { convert } from "../kernels/convert.ts";
import { mixWeights } from "../kernels/mix_weights.ts";
import { changingParameters, type Weights } from "./weights.ts";

/**
 * Moves a reference's weights towards those of its policy: reference = alpha policy + (1 - alpha) reference. Both are taken in
 * f32 where they change, so that at f16 no small change is lost; what they share stays as it is.
 *
 * @param reference Of the policy's shape; loaded or copied as one that follows.
 * @param alpha From 0 to 1.
 */
export function followWeights(
  commands: Commands,
  reference: Weights,
  policy: Weights,
  alpha: number,
): void {
  for (const { spec, operand, master } of changingParameters(reference)) {
    const theirs = policy.parameters.get(spec.name)!;
    mixWeights(commands, master, theirs.master ?? theirs.operand, alpha);
    if (operand !== master) convert(commands, operand, master);
  }
}
