// This module is browser compatible.
/**
 * The models that a server answers with: those that it was started with, and what was trained. A run or checkpoint is loaded
 * when it is asked for by name, as long as the pool has room.
 *
 * @module
 */
import { UserError } from "../errors.ts";
import { parseModelName, type RunStore } from "./runs.ts";
import type { ModelHost, ServedModel, TextCodec } from "./serving.ts";

/** A model and where it is stored. */
export interface ModelPlace {
  name: string;
  path: string;
}

export interface PoolOptions {
  host: ModelHost;
  runs: RunStore;
  /** Those that the server was started with, which stay. */
  started: readonly (ModelPlace & { codec: TextCodec })[];
  /** Largest number of further models that are loaded or reserved at a time. */
  most: number;
  /** Reads a stored model's tokenizer and stop ids. */
  codecAt(path: string): Promise<TextCodec>;
}

/** A model of the pool, ready to answer. */
export interface PooledModel extends TextCodec {
  model: ServedModel;
}

/** The pool has no room for one more model. */
export class PoolFull extends UserError {}

/** A place in the pool for a model that will come. */
export interface Reservation {
  /**
   * Loads the model.
   *
   * @param root See ServedModel.
   * @throws {UserError} As ModelHost.addModel.
   */
  load(model: ModelPlace & { root: string }): Promise<ServedModel>;
  /** Gives the place back if nothing came. */
  release(): void;
}

interface Kept {
  path: string;
  codec: TextCodec;
}

/** See the module. */
export class ModelPool {
  readonly #kept = new Map<string, Kept>();
  /** Where models are that were unloaded: their names still find them. */
  readonly #unloaded = new Map<string, string>();
  readonly #loading = new Map<string, Promise<ServedModel>>();
  readonly #startedWith: ReadonlySet<string>;
  #reserved = 0;

  constructor(readonly options: PoolOptions) {
    for (const { name, path, codec } of options.started) this.#kept.set(name, { path, codec });
    this.#startedWith = new Set(this.#kept.keys());
  }

  get models(): readonly ServedModel[] {
    return this.options.host.models;
  }

  /** Whether the server takes models besides those that it was started with. */
  get grows(): boolean {
    return this.options.most > 0;
  }

  /**
   * Finds a model by name; a run or checkpoint is loaded.
   *
   * @returns null if there is none of that name.
   * @throws {PoolFull} If the pool has no room to load it.
   */
  async find(name: string): Promise<PooledModel | null> {
    if (!this.#kept.has(name)) {
      const path = this.grows ? await this.pathOf(name) : null;
      if (path === null) return null;
      await (this.#loading.get(name) ?? this.#load({ name, path }));
    }
    const kept = this.#kept.get(name);
    const model = this.models.find((model) => model.name === name);
    return kept && model ? { model, ...kept.codec } : null;
  }

  /** Where a model is stored: a served one, a run or a checkpoint; null if there is none of that name. */
  async pathOf(name: string): Promise<string | null> {
    const known = this.#kept.get(name)?.path ?? this.#unloaded.get(name);
    if (known !== undefined) return known;
    const named = parseModelName(name);
    return named && await this.options.runs.pathOf(named.run, named.step);
  }

  /** What a stored model is called as long as it is served; null: it is not. */
  nameAt(path: string): string | null {
    return this.#kept.entries().find(([, kept]) => kept.path === path)?.[0] ?? null;
  }

  /** @throws {PoolFull} If there is none. */
  reserve(): Reservation {
    const { most } = this.options;
    if (this.#kept.size - this.#startedWith.size + this.#reserved >= most) {
      throw new PoolFull(
        `Expected at most ${most} trained models, served or under way: unload one`,
      );
    }
    this.#reserved++;
    let reserved = true;
    const release = () => {
      if (reserved) this.#reserved--;
      reserved = false;
    };
    const load = async ({ name, path, root }: ModelPlace & { root: string }) => {
      const codec = await this.options.codecAt(path);
      const served = await this.options.host.addModel({ name, path, root });
      this.#kept.set(name, { path, codec });
      release();
      return served;
    };
    return { load, release };
  }

  /**
   * Frees a trained model's memory once its answers in work are given; it stays on disk.
   *
   * @throws {UserError} If the server was started with it.
   */
  async remove(model: ServedModel): Promise<void> {
    const { name } = model;
    if (this.#startedWith.has(name)) {
      throw new UserError(
        `Expected a trained model, found ${name}, which the server was started with`,
      );
    }
    this.#unloaded.set(name, this.#kept.get(name)!.path);
    this.#kept.delete(name);
    await this.options.host.removeModel(name);
  }

  async #load({ name, path }: ModelPlace): Promise<void> {
    if (this.#kept.has(name)) return; // by another request, while this one looked for the path
    const reservation = this.reserve();
    const loading = reservation.load({ name, path, root: name });
    this.#loading.set(name, loading);
    await loading.finally(() => {
      this.#loading.delete(name);
      reservation.release();
    });
  }
}
