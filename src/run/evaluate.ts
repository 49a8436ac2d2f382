// This module is browser compatible.
import type { Resolved } from "../config/resolve.ts";
import type { Audit } from "../data/audit.ts";
import { evaluate as evaluatePairs } from "../dpo/evaluate.ts";
import { suspectedFlips } from "../dpo/label_flips.ts";
import { scoreOptionsOf } from "../dpo/pack.ts";
import { Reference } from "../dpo/reference.ts";
import { loadModel, loadReference } from "../model/load.ts";
import { answersOf, needsReference } from "../losses/losses.ts";
import type { DataRecord } from "../report/run_record.ts";
import { openCaches } from "./caches.ts";
import type { Emit } from "./events.ts";
import { dataOptions, loadPairsFrom, mainDataset, openModel } from "./inputs.ts";
import type { Ports } from "./ports.ts";
import { loadReferenceScores } from "./reference_scores.ts";

/** What preference pairs say of a model. */
export interface EvaluationResult {
  /** TRL's names, with `eval_` in front. */
  metrics: Record<string, number>;
  pairs: number;
  counts: DataRecord["counts"];
  /** Labels are doubted where there is a reference to ask. */
  audit: Audit;
}

/**
 * Preference accuracy, margins and loss of a model against a reference.
 *
 * @returns null if the signal ended it.
 * @throws {UserError} If options, models or data do not fit together.
 */
export async function evaluate(
  { options }: Resolved<"eval">,
  ports: Ports,
  emit: Emit,
): Promise<EvaluationResult | null> {
  using model = await openModel(options.model, ports, emit);
  using reference = options.reference === null
    ? null
    : await openModel(options.reference, ports, emit);
  const data = dataOptions(options, model, options.score);
  const caches = openCaches(options, "read", ports, emit);
  const loaded = await loadPairsFrom(mainDataset(options, "eval"), model, data, caches);
  const { pairs, record } = loaded;
  const { gpu: opened, precision } = await ports.openDevice(options);
  using gpu = opened;
  emit({ type: "loaded", data: record });
  const loading = { precision, positions: options.maxLength };
  const policy = await loadModel(gpu, model, loading);
  const judge = reference ? await loadReference(gpu, model, reference, loading) : policy;
  const theirs = needsReference(options) ? new Reference(judge, false) : null;
  if (theirs) {
    await loadReferenceScores(caches, [loaded], {
      policy,
      reference: theirs,
      source: reference ?? model,
      precision,
      score: options,
    });
  }
  const metrics = await evaluatePairs(policy, theirs, pairs, {
    ...scoreOptionsOf(options),
    objective: options,
    isReference: reference === null,
    signal: ports.signal,
  }).catch((error) => {
    if (ports.signal.aborted) return null;
    throw error;
  });
  if (metrics === null) return null;
  const audit = theirs && !answersOf(options)
    ? { ...record.audit, suspectedFlips: suspectedFlips(theirs, pairs) }
    : record.audit;
  return { metrics, pairs: pairs.length, counts: record.counts, audit };
}
