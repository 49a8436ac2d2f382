// This module is browser compatible.
import { loadModel } from "../engine.ts";
import { generate } from "../generate/generate.ts";
import { GREEDY } from "../kernels/sample.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { LlamaConfig } from "../model/config.ts";
import { median } from "./timing.ts";
import { noiseWeights } from "./training.ts";

export interface DecodeSizes {
  /** What the table calls it. */
  name: string;
  config: LlamaConfig;
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
  /** Of all sequences together, from the second new token on. */
  tokensPerSecond: number;
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
    const prompts = Array.from(
      { length: batch },
      (_, b) => Array.from({ length: promptTokens }, (_, i) => (b + i * 7) % config.vocabSize),
    );
    const once = async () => {
      const begin = performance.now();
      let first = 0;
      await generate(model, prompts, {
        ...GREEDY,
        maxNewTokens: newTokens,
        stopIds: [],
        onToken: () => first ||= performance.now(),
      });
      return { firstMs: first - begin, restMs: performance.now() - first };
    };
    await once(); // compiles
    const runs = [];
    for (let i = 0; i < repetitions; i++) runs.push(await once());
    const restMs = median(runs.map((run) => run.restMs));
    speeds.push({
      name,
      batch,
      promptTokens,
      newTokens,
      firstTokenMilliseconds: median(runs.map(({ firstMs }) => firstMs)),
      tokensPerSecond: batch * (newTokens - 1) / restMs * 1000,
    });
  }
  return speeds;
}
