import type { Options } from "../config.ts";
import { auditInWords, flipsInWords } from "../data/audit.ts";
import { suspectedFlips } from "../dpo/label_flips.ts";
import { evaluate } from "../dpo/evaluate.ts";
import { Reference } from "../dpo/reference.ts";
import { loadModel, loadReference } from "../engine.ts";
import { readable } from "../report/run_record.ts";
import type { Context } from "./context.ts";
import { openDevice } from "./device.ts";
import {
  countsInWords,
  dataOptions,
  loadPairsFrom,
  lossInWords,
  mainDataset,
  openStoredModel,
} from "./inputs.ts";
import { loadReferenceScores } from "./reference_scores.ts";
import { shortcuts } from "./shortcuts.ts";

const INTERRUPTED = 130;

/** Preference accuracy, margins and loss of a model against a reference. */
export async function run(options: Options<"eval">, context: Context<"eval">): Promise<number> {
  using model = await openStoredModel(options.model, context);
  using reference = options.reference === null
    ? null
    : await openStoredModel(options.reference, context);
  const data = dataOptions(options, model, options.score);
  const faster = shortcuts(options, "read", context);
  const loaded = await loadPairsFrom(mainDataset(options, "eval"), model, data, faster);
  const { pairs, counts } = loaded;
  const device = await openDevice(options, context);
  if (!device) return 0;
  using gpu = device.gpu;
  const { precision } = device;
  context.stderr.write(`loss       ${lossInWords(options, context.resolved.origins)}\n`);
  const loading = { precision, positions: options.maxLength };
  const policy = await loadModel(gpu, model, loading);
  const judge = reference ? await loadReference(gpu, model, reference, loading) : policy;
  const theirs = new Reference(judge, false);
  await loadReferenceScores(faster, [loaded], {
    policy,
    reference: theirs,
    source: reference ?? model,
    precision,
    score: options,
  });
  const metrics = await evaluate(policy, theirs, pairs, {
    scope: options.score,
    reduction: options.logprob,
    lossType: options.lossType,
    loss: { beta: options.beta, labelSmoothing: options.labelSmoothing },
    isReference: reference === null,
    signal: context.signal,
  }).catch((error) => {
    if (context.signal.aborted) return null;
    throw error;
  });
  if (metrics === null) return INTERRUPTED;
  const suspects = suspectedFlips(theirs, pairs);
  if (options.json) {
    const audit = { ...loaded.record.audit, suspectedFlips: suspects };
    context.stdout.write(`${JSON.stringify({ ...metrics, pairs: pairs.length, counts, audit })}\n`);
  } else {
    context.stdout.write(
      `${options.model} against ${options.reference ?? "itself"} on ${options.dataset}: ${
        countsInWords(counts)
      }\n`,
    );
    for (const [name, value] of Object.entries(metrics)) {
      context.stdout.write(`${name.padEnd(28)} ${readable(value)}\n`);
    }
    const findings = [auditInWords(loaded.record.audit), flipsInWords(suspects)].filter(Boolean);
    if (findings.length > 0) context.stdout.write(`audit: ${findings.join(", ")}\n`);
  }
  return 0;
}
