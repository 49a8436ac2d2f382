// This module is browser compatible.
import type { ModelConfig } from "../model/config.ts";
import type { DecodeSizes } from "./decode.ts";
import type { KernelSizes } from "./kernel_case.ts";
import type { LadderSizes } from "./ladder.ts";
import { SMALL, SMOLLM_135M } from "./models.ts";
import { equalPairs, hhLikePairs } from "./pairs.ts";
import type { PeerSizes } from "./peers.ts";
import type { SharingSizes } from "./sharing.ts";
import type { StepSizes } from "./step.ts";
import { FULL, LORA, LORA_AGAIN, SEED } from "./training.ts";

/** What to measure, and how long. */
export interface BenchSizes {
  kernels: KernelSizes;
  steps: StepSizes[];
  ladder: LadderSizes;
  decode: DecodeSizes[];
  sharing: SharingSizes;
  peers: PeerSizes;
}

/** SmolLM-135M's shapes; on a CPU adapter few rows of them, and a smaller model where a whole step runs. */
export function sizesFor(software: boolean, config: ModelConfig): BenchSizes {
  const { vocabSize } = SMOLLM_135M;
  const longPairs = equalPairs(8, 512, 256, vocabSize);
  const shortPairs = equalPairs(8, 32, 16, config.vocabSize);
  return {
    kernels: {
      config: SMOLLM_135M,
      M: software ? 128 : 2048,
      headRows: software ? 64 : 640,
      sequence: software ? 128 : 512,
      repetitions: software ? 3 : 20,
    },
    steps: [SEED, FULL, LORA, LORA_AGAIN].flatMap((recipe) => [
      {
        name: "SmolLM-135M, 8 pairs of 512 tokens, half of them prompt",
        recipe,
        config: SMOLLM_135M,
        pairs: longPairs,
        steps: software ? 0 : 10,
        repetitions: 5,
      },
      {
        name: "--model, 8 pairs with the lengths of HH-RLHF",
        recipe,
        config,
        pairs: hhLikePairs(8, config.vocabSize),
        steps: software ? 4 : 20, // not 1: Deno waits for 11 ms behind them
        repetitions: software ? 3 : 5,
      },
    ]),
    ladder: software
      ? { config: SMALL, pairs: 4, steps: 1, repetitions: 2 }
      : { config: SMOLLM_135M, pairs: 8, steps: 10, repetitions: 5 },
    sharing: {
      ...software
        ? { name: "--model, 8 pairs of 32 tokens", config, pairs: shortPairs }
        : { name: "SmolLM-135M, 8 pairs of 512 tokens", config: SMOLLM_135M, pairs: longPairs },
      promptTokens: 16,
      newTokens: 16,
      answers: software ? 4 : 50,
      steps: software ? 3 : 20,
      repetitions: 3,
    },
    peers: {
      products: [
        { name: "qkv", M: 330, N: 960, K: 576 },
        { name: "o", M: 330, N: 576, K: 576 },
        { name: "gate_up", M: 330, N: 3072, K: 576 },
        { name: "down", M: 330, N: 576, K: 1536 },
      ],
      turns: 5,
      steps: software ? 2 : 20,
    },
    decode: [
      {
        name: "SmolLM-135M",
        config: SMOLLM_135M,
        batches: [1, 8, 32],
        promptTokens: software ? 8 : 128,
        newTokens: software ? 5 : 257,
        repetitions: software ? 1 : 5,
      },
      {
        name: "--model",
        config,
        batches: [1, 8, 32],
        promptTokens: 32,
        newTokens: software ? 33 : 257,
        repetitions: software ? 3 : 5,
      },
    ],
  };
}
