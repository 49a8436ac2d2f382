// This module is browser compatible.
/** The reference's scores from the cache of a run. */
import type { Options } from "../config/resolve.ts";
import type { PreferencePair } from "../data/pairs.ts";
import { scoreOptionsOf } from "../dpo/pack.ts";
import type { Reference } from "../dpo/reference.ts";
import { ReferenceCache } from "../dpo/reference_cache.ts";
import { cacheKey } from "../formats/cache.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { Model } from "../model/model.ts";
import type { DataRecord } from "../report/run_record.ts";
import type { Caches } from "./caches.ts";
import type { StoredModel } from "./ports.ts";

/** What a reference was, for whoever looks its scores up. */
export interface ScoredReference {
  policy: Model;
  reference: Reference;
  /** The checkpoint that the reference was loaded from. */
  source: Pick<StoredModel, "identity">;
  precision: Operand;
  score: Pick<Options<"train">, "score" | "logprob" | "ldAlpha">;
}

/**
 * Lets the reference remember what the cache knows of datasets.
 *
 * @returns One to save to for each dataset.
 */
export async function loadReferenceScores(
  { cache, emit }: Caches,
  datasets: readonly { pairs: readonly PreferencePair[]; record: DataRecord }[],
  { policy, reference, source, precision, score }: ScoredReference,
): Promise<ReferenceCache[]> {
  if (cache === null) return [];
  // Adapters beside their matrices give other last digits than merged ones.
  const { adapter } = reference.model.weights;
  const beside = adapter && !adapter.fresh ? { adapters: "beside" } : {};
  const weights = await cacheKey({ ...await source.identity(), ...beside });
  const caches: ReferenceCache[] = [];
  for (const { pairs, record } of datasets) {
    const { scores, found } = await ReferenceCache.load(cache, policy, reference, pairs, {
      weights,
      tokens: record.hash,
      precision,
      ...scoreOptionsOf(score),
    });
    caches.push(scores);
    const { path } = record;
    emit({ type: "cached", what: "reference scores", path, found, cache: cache.path });
  }
  return caches;
}
