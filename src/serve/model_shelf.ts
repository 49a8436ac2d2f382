// This module is browser compatible.
/**
 * The models that a server answers with: those that it was started with, and what was trained. A run or checkpoint is loaded
 * when it is asked for by name, as long as there is room.
 *
 * @module
 */
import { UserError } from "../errors.ts";
import { parseModelName, type RunStore } from "./runs.ts";
import type { ModelHost, ServedModel, Voice } from "./serving.ts";

/** A model and where it is stored. */
export interface ModelPlace {
  name: string;
  path: string;
}

export interface ShelfOptions {
  host: ModelHost;
  runs: RunStore;
  /** Those that the server was started with, which stay. */
  started: readonly (ModelPlace & { voice: Voice })[];
  /** Further ones that may be loaded, or be about to be, at a time. */
  most: number;
  /** Reads how a stored model reads and writes. */
  voiceAt(path: string): Promise<Voice>;
}

/** A model that was asked for, and how it reads and writes. */
export interface Asked extends Voice {
  model: ServedModel;
}

/** There is no room for one more model. */
export class ShelfFull extends UserError {}

/** Room for a model that is to come. */
export interface Room {
  /**
   * Loads the model.
   *
   * @param root See ServedModel.
   * @throws {UserError} As ModelHost.addModel.
   */
  fill(model: ModelPlace & { root: string }): Promise<ServedModel>;
  /** Gives the room back where nothing came. */
  leave(): void;
}

interface Kept {
  path: string;
  voice: Voice;
}

/** See the module. */
export class ModelShelf {
  readonly #kept = new Map<string, Kept>();
  /** Where models are that were unloaded: their names still find them. */
  readonly #unloaded = new Map<string, string>();
  readonly #loading = new Map<string, Promise<ServedModel>>();
  readonly #startedWith: ReadonlySet<string>;
  #held = 0;

  constructor(readonly options: ShelfOptions) {
    for (const { name, path, voice } of options.started) this.#kept.set(name, { path, voice });
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
   * @throws {ShelfFull} If there is no room to load it.
   */
  async find(name: string): Promise<Asked | null> {
    if (!this.#kept.has(name)) {
      const path = this.grows ? await this.pathOf(name) : null;
      if (path === null) return null;
      await (this.#loading.get(name) ?? this.#load({ name, path }));
    }
    const kept = this.#kept.get(name);
    const model = this.models.find((model) => model.name === name);
    return kept && model ? { model, ...kept.voice } : null;
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

  /** @throws {ShelfFull} If there is none. */
  hold(): Room {
    const { most } = this.options;
    if (this.#kept.size - this.#startedWith.size + this.#held >= most) {
      throw new ShelfFull(
        `Expected at most ${most} trained models, served or under way: unload one`,
      );
    }
    this.#held++;
    let held = true;
    const leave = () => {
      if (held) this.#held--;
      held = false;
    };
    const fill = async ({ name, path, root }: ModelPlace & { root: string }) => {
      const voice = await this.options.voiceAt(path);
      const served = await this.options.host.addModel({ name, path, root });
      this.#kept.set(name, { path, voice });
      leave();
      return served;
    };
    return { fill, leave };
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
    const room = this.hold();
    const loading = room.fill({ name, path, root: name });
    this.#loading.set(name, loading);
    await loading.finally(() => {
      this.#loading.delete(name);
      room.leave();
    });
  }
}
