// This module is browser compatible.
import type { Resolved } from "../config/resolve.ts";
import { scorePairs } from "../dpo/evaluate.ts";
import { loadModel } from "../model/load.ts";
import { openCaches } from "./caches.ts";
import type { Emit } from "./events.ts";
import { dataOptions, loadPairsFrom, mainDataset, openModel } from "./inputs.ts";
import type { Ports } from "./ports.ts";

/**
 * Log-probabilities of every pair: an event each, in the order of the dataset.
 *
 * @throws {UserError} If options, model or data do not fit together.
 */
export async function score(
  { options }: Resolved<"score">,
  ports: Ports,
  emit: Emit,
): Promise<void> {
  using model = await openModel(options.model, ports, emit);
  const data = dataOptions(options, model, "all");
  const caches = openCaches(options, "read", ports, emit);
  const { pairs, record } = await loadPairsFrom(
    mainDataset(options, "score"),
    model,
    data,
    caches,
  );
  const { gpu: opened, precision } = await ports.openDevice(options);
  using gpu = opened;
  emit({ type: "loaded", data: record });
  const loaded = await loadModel(gpu, model, { precision, positions: options.maxLength });
  for await (const score of scorePairs(loaded, pairs)) emit({ type: "scored", score });
}
