// This module is browser compatible.
import type { PreferencePair } from "../data/pairs.ts";
import { type PairScore, scorePairs } from "../dpo/evaluate.ts";
import { treeTokens } from "../dpo/pack.ts";
import { type Checkpoint, loadAdapter, loadModel } from "../model/load.ts";
import { UserError } from "../errors.ts";
import { Batcher, type Completion, type GenerationRequest } from "../generate/batcher.ts";
import { mostCacheRows } from "../generate/kv_cache.ts";
import { promptLogprobs } from "../generate/prompt_logprobs.ts";
import { mostPositions } from "../generate/sequences.ts";
import type { Gpu } from "../gpu/device.ts";
import { GREEDY } from "../kernels/sample.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { TokenLogprobs } from "../kernels/token_logprobs.ts";
import { mostTokensTogether } from "../model/forward.ts";
import { type Model, releaseRuntime } from "../model/model.ts";
import { releaseAdapter, releaseWeights } from "../model/weights.ts";
import type { NamedModel, StoredModel } from "../run/ports.ts";
import { LastingDevice, type Recovery } from "./lasting_device.ts";
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

/** The files of a model. Adapters share weights with a loaded model where both say what they are. */
interface OpenedModel extends Checkpoint, Disposable {
  identity?: StoredModel["identity"];
  adapted?: NonNullable<Checkpoint["adapted"]> & { base?: NamedModel };
}

type OpenCheckpoint = () => Promise<OpenedModel>;

/** Weights on the device, freed when nobody uses them any more. */
interface SharedWeights {
  users: number;
  release(): void;
}

/** A model on the device, and who puts its requests together. */
interface Runner {
  model: Model;
  batcher: Batcher;
  /** Its weights, or those that its adapters share. */
  weights: SharedWeights;
}

interface Loaded extends Runner {
  served: ServedModel;
  open: OpenCheckpoint;
  /** What is in work. */
  work: Set<Promise<unknown>>;
}

/**
 * Models on a GPU of this thread. Where its device fails, what is in work fails; nobody is answered until it was opened and the
 * models were loaded again.
 */
export class LocalServing implements Serving {
  readonly #loaded = new Map<string, Loaded>();
  readonly #device: LastingDevice;

  constructor(gpu: Gpu, readonly options: ServingOptions, recovery?: Recovery) {
    this.#device = new LastingDevice(gpu, (gpu) => this.#loadAgain(gpu), recovery);
  }

  get outage(): string | null {
    return this.#device.outage;
  }

  get models(): readonly ServedModel[] {
    return [...this.#loaded.values()].map(({ served }) => served);
  }

  get slots(): number {
    return this.options.slots;
  }

  /**
   * Loads a model under a name, and has its kernels compiled: the first request is as quick as any.
   *
   * @param open Opens its files, now and when they are to be read again.
   * @param root The model that it was trained from here, if it was.
   * @throws {UserError} As loadModel.
   */
  async add(name: string, open: OpenCheckpoint, root = name): Promise<ServedModel> {
    return await this.#device.use(async (gpu) => {
      const runner = await this.#load(gpu, open);
      gpu.check(); // whoever loads models again does not know this one yet
      const { model, batcher } = runner;
      const served = {
        name,
        root,
        created: Math.floor(Date.now() / 1000),
        positions: Math.min(mostPositions(model), batcher.load.cacheRows),
        vocabSize: model.weights.config.vocabSize,
      };
      this.#loaded.set(name, { ...runner, served, open, work: new Set() });
      return served;
    });
  }

  /** Takes no more requests for a model, lets those in work end, and frees its memory. */
  async removeModel(name: string): Promise<void> {
    const loaded = this.#get(name);
    this.#loaded.delete(name);
    await Promise.allSettled(loaded.work);
    release(loaded);
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
    return this.#with(model, ({ model }) => {
      const most = mostTokensTogether(model.gpu, model.weights);
      const tooLong = pairs.find((pair) => treeTokens(pair) > most);
      if (!tooLong) return Array.fromAsync(scorePairs(model, pairs));
      throw new UserError(
        `Expected pairs of at most ${most} tokens, as many as "${model.gpu.info.description}" computes together ` +
          `in a model of this width, found ${treeTokens(tooLong)} in row ${tooLong.index}`,
      );
    });
  }

  load(): Promise<ServingLoad> {
    const loads = [...this.#loaded.values()].map(({ batcher }) => batcher.load);
    const sum = (key: keyof typeof loads[0]) => loads.reduce((total, load) => total + load[key], 0);
    return Promise.resolve({
      running: sum("running"),
      waiting: sum("waiting"),
      cacheRows: sum("cacheRows"),
      freeCacheRows: sum("freeCacheRows"),
      gpuBytes: this.#device.gpu.memory.bytes,
    });
  }

  close(): void {
    this.#device.close();
  }

  async #with<T>(name: string, action: (loaded: Runner) => Promise<T>): Promise<T> {
    return await this.#device.use(async () => {
      const loaded = this.#get(name);
      const working = action(loaded);
      loaded.work.add(working);
      return await working.finally(() => loaded.work.delete(working));
    });
  }

  /**
   * Loads a model and warms it up; where that fails, nothing of it stays on the device. Adapters are loaded over their model's
   * weights where those are on the device, and else merged with a copy.
   */
  async #load(gpu: Gpu, open: OpenCheckpoint): Promise<Runner> {
    const { precision, slots, cacheRows } = this.options;
    using checkpoint = await open();
    using loading = new DisposableStack();
    const positions = Math.min(this.options.positions, checkpoint.config.maxPositionEmbeddings);
    const base = await this.#baseOf(gpu, checkpoint);
    if (base) base.weights.users++; // nobody takes them away meanwhile
    const weights = base?.weights ??
      { users: 1, release: () => releaseWeights(gpu, model.weights) };
    if (base) loading.defer(() => leave(weights));
    const model = base
      ? await loadAdapter(base.model, checkpoint.adapted!.adapter, positions)
      : await loadModel(gpu, checkpoint, { precision, positions });
    if (!base) loading.defer(() => leave(weights));
    loading.adopt(model, releaseOwn);
    const rows = Math.min(cacheRows, mostCacheRows(model).inOneBuffer);
    const batcher = loading.use(new Batcher(model, { cacheRows: rows, slots }));
    await warmUp(batcher, slots);
    loading.move(); // it stays
    return { model, batcher, weights };
  }

  /** The loaded model that adapters belong to. */
  async #baseOf(gpu: Gpu, { adapted }: OpenedModel): Promise<Runner | undefined> {
    if (!adapted?.base) return undefined;
    const wanted = JSON.stringify(await adapted.base.identity());
    for (const [name, loaded] of this.#loaded) {
      if (loaded.model.gpu !== gpu || loaded.model.weights.adapter) continue;
      using checkpoint = await loaded.open();
      if (checkpoint.adapted) continue; // merged with others
      const found = JSON.stringify(await checkpoint.identity?.());
      if (found === wanted && this.#loaded.get(name) === loaded) return loaded;
    }
  }

  async #loadAgain(gpu: Gpu): Promise<void> {
    await Promise.allSettled(this.#loaded.values().flatMap(({ work }) => work));
    for (const [name, loaded] of this.#loaded) {
      const runner = await this.#load(gpu, loaded.open);
      if (this.#loaded.get(name) === loaded) Object.assign(loaded, runner);
      else release(runner); // taken out meanwhile
    }
  }

  #get(name: string): Loaded {
    const loaded = this.#loaded.get(name);
    if (!loaded) throw new UserError(`Expected a loaded model, found "${name}", just unloaded`);
    return loaded;
  }
}

function release({ model, batcher, weights }: Runner): void {
  batcher[Symbol.dispose]();
  releaseOwn(model);
  leave(weights);
}

/** Frees what a model shares with no other. */
function releaseOwn(model: Model): void {
  releaseRuntime(model);
  if (model.weights.adapter) releaseAdapter(model.gpu, model.weights);
}

function leave(weights: SharedWeights): void {
  if (--weights.users === 0) weights.release();
}

/** Batches whose kernels differ: matvec_forward takes 1, 2, 4 or 8 rows at a time. */
const BATCHES = [1, 2, 4, 8];

async function warmUp(batcher: Batcher, slots: number): Promise<void> {
  for (const count of new Set(BATCHES.map((size) => Math.min(size, slots)))) {
    const request = { prompt: [0], maxNewTokens: 2, sampling: GREEDY, stopIds: [], topLogprobs: 1 };
    const answers = Array.from({ length: count }, () => batcher.add(request));
    await Promise.allSettled(answers); // nothing is in work when it fails
    await Promise.all(answers);
  }
}
