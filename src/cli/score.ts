import type { Options } from "../config.ts";
import { scorePairs } from "../dpo/evaluate.ts";
import { loadModel } from "../engine.ts";
import type { Context } from "./context.ts";
import { openDevice } from "./device.ts";
import {
  countsInWords,
  dataOptions,
  loadPairsFrom,
  mainDataset,
  openStoredModel,
} from "./inputs.ts";
import { shortcuts } from "./shortcuts.ts";

/** Log-probabilities of every pair: one JSON line each, in dataset order. */
export async function run(options: Options<"score">, context: Context<"score">): Promise<number> {
  using model = await openStoredModel(options.model, context);
  const data = dataOptions(options, model, "all");
  const named = mainDataset(options, "score");
  const faster = shortcuts(options, "read", context);
  const { pairs, counts } = await loadPairsFrom(named, model, data, faster);
  const device = await openDevice(options, context);
  if (!device) return 0;
  context.stderr.write(`${options.dataset}: ${countsInWords(counts)}\n`);
  const { gpu, precision } = device;
  const loaded = await loadModel(gpu, model, { precision, positions: options.maxLength });
  for await (const score of scorePairs(loaded, pairs)) {
    context.stdout.write(`${JSON.stringify(score)}\n`);
  }
  return 0;
}
