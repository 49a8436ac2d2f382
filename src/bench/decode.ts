// This module is browser compatible.
import { loadModel } from "../model/load.ts";
import { Batcher } from "../generate/batcher.ts";
import { GREEDY } from "../kernels/sample.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelConfig } from "../model/config.ts";
import { PassWatch } from "./pass_watch.ts";
import { median } from "./timing.ts";
import { noiseWeights } from "./training.ts";

export interface DecodeSizes {
  /** What the table calls it. */
  name: string;
  config: ModelConfig;
  /** Sequences that are continued together. */
  batches: number[];
  /** Tokens of every prompt, and new ones. */
  promptTokens: number;
  newTokens: number;
  repetitions: number;
}

export interface DecodeSpeed {
  name: string;
  batch: number;
  promptTokens: number;
  newTokens: number;
  /** Until the first new token. */
  firstTokenMilliseconds: number;
  /** Of all prompts together, until the first new token: reading the prompts, drawing it and fetching it. */
  prefillTokensPerSecond: number;
  /** Of all sequences together, from the second new token on. */
  tokensPerSecond: number;
  /** Share of the time in which the GPU was at work; null without timestamps. */
  busy: number | null;
}

/** Speed of cached greedy decoding. */
export async function benchDecode(
  gpu: Gpu,
  precision: Operand,
  { name, config, batches, promptTokens, newTokens, repetitions }: DecodeSizes,
): Promise<DecodeSpeed[]> {
  const checkpoint = { config, read: noiseWeights(config) };
  const positions = promptTokens + newTokens;
  const model = await loadModel(gpu, checkpoint, { precision, positions });
  const speeds: DecodeSpeed[] = [];
  for (const batch of batches) {
    const batcher = new Batcher(model, { cacheRows: batch * positions, slots: batch });
    let asked = 0;
    const once = async () => {
      const begin = performance.now();
      let first = 0;
      await Promise.all(Array.from({ length: batch }, (_, sequence) => {
        const offset = asked++ * 31; // no prompt begins like one before
        const token = (_: unknown, i: number) => (offset + i * 7) % config.vocabSize;
        return batcher.add({
          prompt: Array.from({ length: promptTokens }, token),
          maxNewTokens: newTokens,
          sampling: { ...GREEDY, sequence },
          stopIds: [],
          onTokens: () => first ||= performance.now(),
        });
      }));
      return { firstMs: first - begin, restMs: performance.now() - first };
    };
    await once(); // compiles
    const runs = [];
    for (let i = 0; i < repetitions; i++) runs.push(await once());
    const firstMs = median(runs.map((run) => run.firstMs));
    const restMs = median(runs.map((run) => run.restMs));
    speeds.push({
      name,
      batch,
      promptTokens,
      newTokens,
      firstTokenMilliseconds: firstMs,
      prefillTokensPerSecond: batch * promptTokens / firstMs * 1000,
      tokensPerSecond: batch * (newTokens - 1) / restMs * 1000,
      busy: gpu.features.timestamps ? await busyShare(gpu, once) : null,
    });
  }
  return speeds;
}

async function busyShare(
  gpu: Gpu,
  generateOnce: () => Promise<{ firstMs: number; restMs: number }>,
): Promise<number> {
  const watch = new PassWatch(gpu);
  try {
    const { firstMs, restMs } = await generateOnce();
    return await watch.milliseconds() / (firstMs + restMs);
  } finally {
    watch.end();
  }
}
