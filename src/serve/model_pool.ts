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
  /** Largest number of further models that are loaded at a time. */
  most: number;
  /** Reads a stored model's tokenizer and stop ids. */
  codecAt(path: string): Promise<TextCodec>;
}

/** A model of the pool, ready to answer. */
export interface PooledModel extends TextCodec {
  model: ServedModel;
}

/** As many further models are being loaded as the pool has room for. */
export class PoolFull extends UserError {}

/** A model that has a name here. */
interface Known extends ModelPlace {
  /** See ServedModel. */
  root: string;
  started: boolean;
}

/** See the module. */
export class ModelPool {
  /** Every model that has been given a name; a name stays good when the model is unloaded. */
  readonly #known = new Map<string, Known>();
  /** The loaded ones by name, the one that was asked for longest ago first. */
  readonly #loaded = new Map<string, TextCodec>();
  readonly #loading = new Map<string, Promise<void>>();

  constructor(readonly options: PoolOptions) {
    for (const { name, path, codec } of options.started) {
      this.#known.set(name, { name, path, root: name, started: true });
      this.#loaded.set(name, codec);
    }
  }

  get models(): readonly ServedModel[] {
    return this.options.host.models;
  }

  /** Whether the server takes models besides those that it was started with. */
  get grows(): boolean {
    return this.options.most > 0;
  }

  /** Whether a model has this name, loaded or not; runs and checkpoints, which are named after their folders, aside. */
  knows(name: string): boolean {
    return this.#known.has(name);
  }

  /**
   * Finds a model by name; one that is not loaded is, and the one that was asked for longest ago makes room for it.
   *
   * @returns null if there is none of that name.
   * @throws {PoolFull} If too many are being loaded at the moment.
   */
  async find(name: string): Promise<PooledModel | null> {
    if (!this.#loaded.has(name)) {
      const path = this.grows ? await this.pathOf(name) : null;
      if (path === null) return null;
      await this.#ensure(this.#known.get(name) ?? { name, path, root: name, started: false });
    }
    const codec = this.#loaded.get(name);
    const model = this.models.find((model) => model.name === name);
    if (!codec || !model) return null;
    this.#loaded.delete(name);
    this.#loaded.set(name, codec); // behind all others
    return { model, ...codec };
  }

  /** Where a model is stored: one with a name, a run or a checkpoint; null if there is none of that name. */
  async pathOf(name: string): Promise<string | null> {
    const known = this.#known.get(name);
    if (known) return known.path;
    const named = parseModelName(name);
    return named && await this.options.runs.pathOf(named.run, named.step);
  }

  /** The name that a stored model was given, if it was. */
  nameAt(path: string): string | null {
    return this.#known.values().find((known) => known.path === path)?.name ?? null;
  }

  isLoaded(name: string): boolean {
    return this.#loaded.has(name);
  }

  /** What a loaded model is here for: the first one that the server was started with is the policy. */
  roleOf(name: string): "policy" | "reference" | "trained" {
    const at = this.options.started.findIndex((model) => model.name === name);
    return at === 0 ? "policy" : at > 0 ? "reference" : "trained";
  }

  /** Gives a stored model a name, under which it is loaded when it is asked for. */
  offer(model: ModelPlace & { root: string }): void {
    this.#known.set(model.name, { ...model, started: false });
  }

  /**
   * Gives a stored model a name and loads it.
   *
   * @param root See ServedModel.
   * @throws {UserError} As ModelHost.addModel.
   */
  async add(model: ModelPlace & { root: string }): Promise<void> {
    this.offer(model);
    await this.#ensure(this.#known.get(model.name)!);
  }

  /**
   * Frees a trained model's memory once its answers in work are given; it stays on disk, and its name stays good.
   *
   * @throws {UserError} If the server was started with it.
   */
  async remove({ name }: ServedModel): Promise<void> {
    if (this.#known.get(name)?.started) {
      throw new UserError(
        `Expected a trained model, found ${name}, which the server was started with`,
      );
    }
    this.#loaded.delete(name);
    await this.options.host.removeModel(name);
  }

  /** Loads a model, unless somebody else does. */
  async #ensure(model: Known): Promise<void> {
    if (this.#loaded.has(model.name)) return;
    const loading = this.#loading.get(model.name) ?? this.#load(model);
    this.#loading.set(model.name, loading);
    await loading.finally(() => this.#loading.delete(model.name));
  }

  async #load(model: Known): Promise<void> {
    const { name, path, root } = model;
    await this.#makeRoom();
    const codec = await this.options.codecAt(path);
    await this.options.host.addModel({ name, path, root });
    this.#known.set(name, model);
    this.#loaded.set(name, codec);
  }

  async #makeRoom(): Promise<void> {
    const { most, host } = this.options;
    const further = [...this.#loaded.keys()].filter((name) => !this.#known.get(name)!.started);
    if (further.length + this.#loading.size < most) return;
    const oldest = further[0];
    if (oldest === undefined) {
      throw new PoolFull(
        `Expected at most ${most} trained models being loaded at a time: come back shortly`,
      );
    }
    this.#loaded.delete(oldest);
    await host.removeModel(oldest);
  }
}
