// This module is browser compatible.
import type { PreferencePair } from "../data/pairs.ts";
import { type PairScore, scorePairs } from "../dpo/evaluate.ts";
import { type Checkpoint, loadModel } from "../engine.ts";
import { UserError } from "../errors.ts";
import { Batcher, type Completion, type GenerationRequest } from "../generate/batcher.ts";
import { mostCacheRows } from "../generate/kv_cache.ts";
import { promptLogprobs } from "../generate/prompt_logprobs.ts";
import { mostPositions } from "../generate/sequences.ts";
import type { Gpu } from "../gpu/device.ts";
import { GREEDY } from "../kernels/sample.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { TokenLogprobs } from "../kernels/token_logprobs.ts";
import { type Model, releaseModel } from "../model/model.ts";
import type { ServedModel, Serving, ServingLoad } from "./serving.ts";

export interface ServingOptions {
  precision: Operand;
  /** Sequences that a model works on at the same time. */
  slots: number;
  /** Tokens that prompt and completion may have together, if the model has seen as many. */
  positions: number;
  /** Tokens that each model's cache of keys and values holds, at most; what does not fit waits. */
  cacheRows: number;
}

interface Loaded {
  served: ServedModel;
  model: Model;
  batcher: Batcher;
  /** What is in work. */
  work: Set<Promise<unknown>>;
}

/** Models on a GPU of this thread. */
export class LocalServing implements Serving {
  readonly #loaded = new Map<string, Loaded>();

  constructor(readonly gpu: Gpu, readonly options: ServingOptions) {}

  get models(): readonly ServedModel[] {
    return [...this.#loaded.values()].map(({ served }) => served);
  }

  get slots(): number {
    return this.options.slots;
  }

  /**
   * Loads a model under a name, and has its kernels compiled: the first request is as quick as any.
   *
   * @param root The model that it was trained from here, if it was.
   * @throws {UserError} As loadModel.
   */
  async add(name: string, checkpoint: Checkpoint, root = name): Promise<ServedModel> {
    const { precision, slots, cacheRows } = this.options;
    const positions = Math.min(this.options.positions, checkpoint.config.maxPositionEmbeddings);
    const model = await loadModel(this.gpu, checkpoint, { precision, positions });
    const rows = Math.min(cacheRows, mostCacheRows(model).inOneBuffer);
    const served = {
      name,
      root,
      created: Math.floor(Date.now() / 1000),
      positions: Math.min(mostPositions(model), rows),
      vocabSize: checkpoint.config.vocabSize,
    };
    const batcher = new Batcher(model, { cacheRows: rows, slots });
    await warmUp(batcher, slots);
    this.#loaded.set(name, { served, model, batcher, work: new Set() });
    return served;
  }

  /** Takes no more requests for a model, lets those in work end, and frees its memory. */
  async removeModel(name: string): Promise<void> {
    const { model, work } = this.#get(name);
    this.#loaded.delete(name);
    await Promise.allSettled(work);
    releaseModel(model);
  }

  generate(model: string, request: GenerationRequest): Promise<Completion> {
    return this.#with(model, ({ batcher }) => batcher.add(request));
  }

  promptLogprobs(
    model: string,
    prompt: readonly number[],
    top: number,
  ): Promise<TokenLogprobs[]> {
    return this.#with(model, ({ model }) => promptLogprobs(model, prompt, top));
  }

  score(model: string, pairs: readonly PreferencePair[]): Promise<PairScore[]> {
    return this.#with(model, ({ model }) => Array.fromAsync(scorePairs(model, pairs)));
  }

  load(): Promise<ServingLoad> {
    const loads = [...this.#loaded.values()].map(({ batcher }) => batcher.load);
    const sum = (key: keyof typeof loads[0]) => loads.reduce((total, load) => total + load[key], 0);
    return Promise.resolve({
      running: sum("running"),
      waiting: sum("waiting"),
      cacheRows: sum("cacheRows"),
      freeCacheRows: sum("freeCacheRows"),
      gpuBytes: this.gpu.memory.bytes,
    });
  }

  close(): void {
    this.gpu.close();
  }

  async #with<T>(name: string, action: (loaded: Loaded) => Promise<T>): Promise<T> {
    const loaded = this.#get(name);
    const working = action(loaded);
    loaded.work.add(working);
    return await working.finally(() => loaded.work.delete(working));
  }

  #get(name: string): Loaded {
    const loaded = this.#loaded.get(name);
    if (!loaded) throw new UserError(`Expected a loaded model, found "${name}", just unloaded`);
    return loaded;
  }
}

/** Batches whose kernels differ: matvec_forward takes 1, 2, 4 or 8 rows at a time. */
const BATCHES = [1, 2, 4, 8];

async function warmUp(batcher: Batcher, slots: number): Promise<void> {
  for (const count of new Set(BATCHES.map((size) => Math.min(size, slots)))) {
    const request = { prompt: [0], maxNewTokens: 2, sampling: GREEDY, stopIds: [], topLogprobs: 1 };
    await Promise.all(Array.from({ length: count }, () => batcher.add(request)));
  }
}
