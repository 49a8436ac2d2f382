// This module is browser compatible.
import { type BatchLimits, divide } from "../data/divide.ts";
import type { PreferencePair } from "../data/pairs.ts";
import type { MakeStep } from "./loop.ts";
import { DpoBatch, type DpoRun } from "./dpo_batch.ts";
import { findNotFinite, METRIC_COLUMNS } from "../dpo/finite.ts";
import { AnswerMetrics } from "../dpo/answer_metrics.ts";
import { type Metrics, PairMetrics } from "../dpo/metrics.ts";
import { answersOf, isAcrossPairs } from "../losses/losses.ts";
import { meanChosenTokens, type PackOptions, packPairs, treeTokens } from "../dpo/pack.ts";

/**
 * Steps of DPO: the loss is the mean over all pairs of the step, however they are spread over micro-batches; a loss across pairs
 * sees those of a micro-batch, as TRL's do.
 */
export function dpoSteps(
  run: DpoRun,
  pairs: readonly PreferencePair[],
  { limits, ...packing }: Omit<PackOptions, "chunkRows" | "acrossPairs"> & { limits: BatchLimits },
): MakeStep {
  return (rows, readback) => {
    const chunkRows = run.model.runtime.headRows;
    const acrossPairs = isAcrossPairs(run.objective);
    const chosen = Array.from(rows, (row) => pairs[row]);
    const step = { pairs: chosen.length, chosenTokens: meanChosenTokens(chosen, packing) };
    const answers = answersOf(run.objective);
    const metrics: Metrics = answers
      ? new AnswerMetrics(run.objective.beta, answers === "mismatched")
      : new PairMetrics();
    let notFinite: string | null = null;
    const microBatches: DpoBatch[] = [];
    for (const part of divide(chosen, treeTokens, limits)) {
      const packed = packPairs(part, {
        ...packing,
        chunkRows,
        acrossPairs,
        confidence: run.objective.useWeighting,
      });
      const onMetrics = (data: Float32Array) => {
        metrics.add(data, part);
        notFinite ??= findNotFinite(part, data, METRIC_COLUMNS);
      };
      microBatches.push(new DpoBatch(run, part, packed, step, readback, onMetrics));
    }
    const tokens = chosen.reduce((sum, pair) => sum + treeTokens(pair), 0);
    return { microBatches, tokens, metrics: () => metrics.summary(0), notFinite: () => notFinite };
  };
}
