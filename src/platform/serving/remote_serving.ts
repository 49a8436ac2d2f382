import { UnavailableError } from "../../errors.ts";
import type { Evaluator } from "../../serve/evaluations.ts";
import { retry } from "../../serve/retry.ts";
import type { ModelHost, ServedModel } from "../../serve/serving.ts";
import type { Trainer } from "../../serve/trainings.ts";
import { Caller, received } from "./calls.ts";
import type { LocalWorker } from "./local_worker.ts";
import type { FromWorker, RemoteMethod, ServingSetup, ToWorker } from "./messages.ts";

type Remote = Pick<LocalWorker, RemoteMethod>;

/** Models on the GPU of a worker, which never stops this thread. Where the worker dies, another one takes its place. */
export class RemoteServing implements ModelHost, Trainer, Evaluator {
  readonly #calls = new Caller<RemoteMethod, Remote>((message) =>
    this.#worker?.postMessage(message satisfies ToWorker)
  );
  readonly #closing = new AbortController();
  /** What a worker loads, by name. */
  readonly #places: Map<string, ServingSetup["models"][number]>;
  #worker: Worker | null = null;
  #models: ServedModel[] = [];
  #outage: string | null = null;

  private constructor(readonly setup: ServingSetup, readonly say: (line: string) => void) {
    this.#places = new Map(setup.models.map((model) => [model.name, model]));
  }

  get slots(): number {
    return this.setup.slots;
  }

  get outage(): string | null {
    return this.#outage;
  }

  get models(): readonly ServedModel[] {
    return this.#models;
  }

  /**
   * Starts the worker and loads the models.
   *
   * @param say Gets what it tells of itself, a line at a time.
   * @throws {UserError} If there is no device or a model cannot be loaded.
   */
  static async start(setup: ServingSetup, say: (line: string) => void): Promise<RemoteServing> {
    const serving = new RemoteServing(setup, say);
    await serving.#startWorker();
    return serving;
  }

  async #startWorker(): Promise<void> {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    const { promise, resolve, reject } = Promise.withResolvers<readonly ServedModel[]>();
    worker.onerror = (event) => {
      event.preventDefault();
      const failure = `The GPU's thread failed (${event.message})`;
      reject(new Error(failure));
      if (worker === this.#worker) this.#replaceWorker(failure);
    };
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.kind === "ready") resolve(data.models);
      else if (data.kind === "unready") reject(received(data.error));
      else if (data.kind === "say") this.say(data.line);
      else if (data.kind === "outage") this.#outage = data.outage;
      else this.#calls.receive(data);
    };
    const setup = { ...this.setup, models: [...this.#places.values()] };
    worker.postMessage({ kind: "setup", setup } satisfies ToWorker);
    try {
      const models = await promise;
      this.#models = models.filter(({ name }) => this.#places.has(name)); // one may have gone meanwhile
      this.#worker = worker;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  async #replaceWorker(failure: string): Promise<void> {
    this.#endWorker(`${failure}: it is started again, so ask again shortly`);
    const tell = (outage: string) => {
      this.#outage = outage;
      this.say(`error      ${outage}: starting it again`);
    };
    tell(failure);
    const again = await retry(() => this.#startWorker(), {
      signal: this.#closing.signal,
      onFailure: ({ message }) => tell(`${failure}, and it could not be started: ${message}`),
    });
    if (!again) return this.#worker?.terminate();
    this.#outage = null;
    this.say("device     its thread was started again, models loaded");
  }

  /** Fails what is in work. */
  #endWorker(reason: string): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#calls.fail(new UnavailableError(reason));
  }

  readonly generate: Remote["generate"] = (...args) => this.#call("generate", ...args);
  readonly promptLogprobs: Remote["promptLogprobs"] = (...args) =>
    this.#call("promptLogprobs", ...args);
  readonly score: Remote["score"] = (...args) => this.#call("score", ...args);
  readonly load: Remote["load"] = (...args) => this.#call("load", ...args);
  readonly train: Remote["train"] = (...args) => this.#call("train", ...args);
  readonly evaluate: Remote["evaluate"] = (...args) => this.#call("evaluate", ...args);

  async addModel(model: { name: string; path: string; root: string }): Promise<ServedModel> {
    const served = await this.#call("addModel", model);
    this.#places.set(model.name, model);
    this.#models.push(served);
    return served;
  }

  async removeModel(name: string): Promise<void> {
    const at = this.#models.findIndex((model) => model.name === name);
    if (at >= 0) this.#models.splice(at, 1);
    this.#places.delete(name);
    await this.#call("removeModel", name);
  }

  close(): void {
    this.#closing.abort();
    this.#endWorker("The server was closed");
  }

  #call<Name extends RemoteMethod>(
    name: Name,
    ...args: Parameters<Remote[Name]>
  ): ReturnType<Remote[Name]> {
    if (this.#worker) return this.#calls.call(name, ...args);
    const error = new UnavailableError(this.#outage ?? "The server was closed");
    return Promise.reject(error) as ReturnType<Remote[Name]>;
  }
}
