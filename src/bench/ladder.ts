// This module is browser compatible.
/**
 * What each idea of the design saves of a DPO step: the way from the naive step, one idea at a time, as ratios against the
 * floating-point operations that the batch should take.
 *
 * @module
 */
import type { PreferencePair } from "../data/pairs.ts";
import { DpoBatch } from "../train/dpo_batch.ts";
import { packPairs, treeTokens } from "../dpo/pack.ts";
import { Reference } from "../dpo/reference.ts";
import { TrunkCache } from "../dpo/trunk_cache.ts";
import type { DpoTraining } from "../train/training.ts";
import type { Gpu } from "../gpu/device.ts";
import { Readback } from "../gpu/readback.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelConfig } from "../model/config.ts";
import { trainingStep } from "../train/step.ts";
import { type ReferenceWork, stepFlops } from "./flops.ts";
import { hhLikePairs, padded } from "./pairs.ts";
import { median } from "./timing.ts";
import { benchTraining } from "./training.ts";

export interface LadderSizes {
  config: ModelConfig;
  pairs: number;
  /** Steps between two waits for the GPU, and how often all rungs are measured in turn. */
  steps: number;
  repetitions: number;
}

/** A rung of the ladder. Gains are against the rung before. */
export interface RungSpeed {
  rung: string;
  gigaflop: number;
  milliseconds: number;
  /** How many times faster than naive, by operations and by the clock. */
  predictedSpeedup: number;
  measuredSpeedup: number;
  predictedGain: number;
  measuredGain: number;
  /** measuredGain / predictedGain. */
  realized: number;
}

interface Rung {
  name: string;
  ragged?: boolean;
  scope?: "completion" | "all";
  reference?: ReferenceWork;
  sharePrefix?: boolean;
  cachedTrunk?: boolean;
}

/** Each rung keeps what the ones before it brought. */
const RUNGS: Rung[] = [
  { name: "naive: padded, separate reference, head on all rows" },
  { name: "+ ragged", ragged: true },
  { name: "+ head on scored rows only", scope: "completion" },
  { name: "+ shared trunk", reference: "sharedTrunk" },
  { name: "+ cached reference", reference: "cached" },
  { name: "+ shared prefix", sharePrefix: true },
  { name: "+ cached trunk (from the second epoch)", cachedTrunk: true },
];

export async function benchLadder(
  gpu: Gpu,
  precision: Operand,
  sizes: LadderSizes,
): Promise<RungSpeed[]> {
  const pairs = hhLikePairs(sizes.pairs, sizes.config.vocabSize);
  const training = await benchTraining(gpu, precision, sizes.config, pairs);
  const rungs = RUNGS.map((_, i) =>
    new RungRun(gpu, training, pairs, Object.assign({}, ...RUNGS.slice(0, i + 1)))
  );
  for (const rung of rungs) await rung.time(1); // compiles, allocates, fills caches
  const times: number[][] = rungs.map(() => []);
  for (let i = 0; i < sizes.repetitions; i++) {
    for (const [index, rung] of rungs.entries()) times[index].push(await rung.time(sizes.steps));
  }
  return compare(rungs.map(({ flop }, i) => ({ flop, milliseconds: median(times[i]) })));
}

function compare(rungs: { flop: number; milliseconds: number }[]): RungSpeed[] {
  return rungs.map(({ flop, milliseconds }, i) => {
    const before = rungs[Math.max(0, i - 1)];
    const predictedGain = before.flop / flop;
    const measuredGain = before.milliseconds / milliseconds;
    return {
      rung: RUNGS[i].name,
      gigaflop: flop / 1e9,
      milliseconds,
      predictedSpeedup: rungs[0].flop / flop,
      measuredSpeedup: rungs[0].milliseconds / milliseconds,
      predictedGain,
      measuredGain,
      realized: measuredGain / predictedGain,
    };
  });
}

/** Steps in the manner of one rung. */
class RungRun {
  readonly flop: number;
  readonly #pairs: PreferencePair[];
  readonly #readback: Readback;
  readonly #reference: Reference;
  readonly #trunkCache: TrunkCache;

  constructor(
    readonly gpu: Gpu,
    readonly training: DpoTraining,
    pairs: PreferencePair[],
    readonly rung: Rung,
  ) {
    const { model, run } = training;
    this.#pairs = rung.ragged ? pairs : padded(pairs);
    this.#readback = new Readback(gpu);
    this.#reference = new Reference(run.reference!.model, rung.reference !== undefined);
    const rows = this.#pairs.reduce((sum, pair) => sum + treeTokens(pair), 0);
    this.#trunkCache = new TrunkCache(model, rung.cachedTrunk ? rows : 0);
    this.flop = stepFlops(model.weights.config, this.#pack(), model.begin, {
      cachedTrunk: rung.cachedTrunk ?? false,
      reference: rung.reference ?? "separate",
    });
  }

  /** @returns Milliseconds per step. */
  async time(steps: number): Promise<number> {
    await this.gpu.idle();
    const begin = performance.now();
    for (let i = 0; i < steps; i++) this.#step();
    await this.gpu.idle();
    const milliseconds = (performance.now() - begin) / steps;
    if (this.rung.reference === "cached") await this.#readback.fetch(); // the reference knows the pairs from now on
    return milliseconds;
  }

  #step(): void {
    const { training: { model, optimizer, run } } = this;
    const batch = new DpoBatch(
      { ...run, reference: this.#reference, trunkCache: this.#trunkCache },
      this.#pairs,
      this.#pack(),
      { pairs: this.#pairs.length, chosenTokens: 1 },
      this.#readback,
      () => {},
    );
    trainingStep(model, optimizer, [batch], 0, this.#readback);
  }

  #pack() {
    return packPairs(this.#pairs, {
      scope: this.rung.scope ?? "all",
      reduction: "mean",
      chunkRows: this.training.model.runtime.headRows,
      sharePrefix: this.rung.sharePrefix ?? false,
    });
  }
}
