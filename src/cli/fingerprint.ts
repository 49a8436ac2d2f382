import type { OptionName, Options } from "../config.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelIdentity } from "../train/identity.ts";

/** Options that may differ when a run is resumed: they do not touch its numbers. */
export const CHANGEABLE: ReadonlySet<OptionName> = new Set([
  ...["output", "resume", "json", "adapter", "engine", "config", "preset"] as const,
  ...["evalDataset", "evalDatasetConfig", "evalDatasetSplit", "cacheTrunk"] as const,
  ...["cache", "cacheDir", "datasetNumProc", "saveDtype"] as const,
  ...["pushToHub", "hubModelId", "hubPrivateRepo"] as const,
  ...[
    "saveSteps",
    "saveTotalLimit",
    "loggingSteps",
    "verbose",
    "numTrainEpochs",
    "maxSteps",
  ] as const,
]);

/** Options that name content: it is compared, and not where it lies. Of a stream not all is known, so its names count too. */
export const NAMES = {
  models: new Set<OptionName>(["model", "reference"]),
  dataset: new Set<OptionName>(["dataset", "datasetConfig", "datasetSplit"]),
} as const;

/** What a run's numbers depend on besides its options. */
export interface RunContent {
  precision: Operand;
  totalSteps: number;
  model: ModelIdentity;
  reference: ModelIdentity | null;
  /** Digest of the tokens; of a stream that of its files' names and sizes. */
  data: string;
}

/** What a resumed run must have in common with the interrupted one, for its numbers to be the same. */
export function fingerprintOf(
  options: Options<"train"> | Options<"sft">,
  { precision, totalSteps, model, reference, data }: RunContent,
): Record<string, unknown> {
  const kept = (Object.entries(options) as [OptionName, unknown][])
    .filter(([name]) => !CHANGEABLE.has(name) && !NAMES.models.has(name))
    .filter(([name]) => options.streaming || !NAMES.dataset.has(name));
  const { lrSchedulerType, warmupSteps } = options;
  // Such a rate does not depend on where the run ends, so the run may be made longer.
  const endless = lrSchedulerType === "constant" && (warmupSteps === 0 || warmupSteps >= 1);
  return {
    model,
    reference,
    data,
    ...Object.fromEntries(kept),
    precision,
    totalSteps: endless ? undefined : totalSteps,
  };
}
