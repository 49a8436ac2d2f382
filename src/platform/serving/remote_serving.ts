import type { PreferencePair } from "../../data/pairs.ts";
import type { PairScore } from "../../dpo/evaluate.ts";
import { UnavailableError } from "../../errors.ts";
import type { Completion, GenerationRequest } from "../../generate/batcher.ts";
import type { TokenLogprobs } from "../../kernels/token_logprobs.ts";
import type { Resolved } from "../../config.ts";
import type { EvaluationResults, Evaluator } from "../../serve/evaluations.ts";
import type { Watch } from "../../serve/job_queue.ts";
import type { ModelHost, ServedModel, ServingLoad } from "../../serve/serving.ts";
import { retry } from "../../serve/retry.ts";
import type { Trainer } from "../../serve/trainings.ts";
import {
  type FromWorker,
  received,
  type ServingSetup,
  type Task,
  type ToWorker,
} from "./messages.ts";

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  /** Told of what comes before the result. */
  watch?: Told;
}

type Told = Partial<Pick<GenerationRequest, "onTokens"> & Omit<Watch, "signal">>;

/** Models on the GPU of a worker, which never stops this thread. Where the worker dies, another one takes its place. */
export class RemoteServing implements ModelHost, Trainer, Evaluator {
  readonly #pending = new Map<number, Pending>();
  readonly #closing = new AbortController();
  /** What a worker loads, by name. */
  readonly #places: Map<string, ServingSetup["models"][number]>;
  #worker: Worker | null = null;
  #models: ServedModel[] = [];
  #nextId = 0;
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
      else if (data.kind === "failed" && data.id === undefined) reject(received(data.error));
      else this.#receive(data);
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
    for (const { reject } of this.#pending.values()) reject(new UnavailableError(reason));
    this.#pending.clear();
  }

  generate(model: string, request: GenerationRequest): Promise<Completion> {
    const { onTokens, signal, ...sent } = request;
    if (signal?.aborted) {
      return Promise.resolve({ ids: [], knownTokens: 0, finishReason: "aborted" });
    }
    return this.#ask({ kind: "generate", model, request: sent }, { onTokens }, signal);
  }

  async addModel(model: { name: string; path: string; root: string }): Promise<ServedModel> {
    const served = await this.#ask<ServedModel>({ kind: "addModel", model });
    this.#places.set(model.name, model);
    this.#models.push(served);
    return served;
  }

  async removeModel(name: string): Promise<void> {
    const at = this.#models.findIndex((model) => model.name === name);
    if (at >= 0) this.#models.splice(at, 1);
    this.#places.delete(name);
    await this.#ask({ kind: "removeModel", model: name });
  }

  train(resolved: Resolved<"train">, { signal, ...told }: Watch): Promise<boolean> {
    return this.#ask({ kind: "train", resolved }, told, signal);
  }

  evaluate(
    resolved: Resolved<"eval">,
    { signal, ...told }: Watch,
  ): Promise<EvaluationResults | null> {
    return this.#ask({ kind: "evaluate", resolved }, told, signal);
  }

  promptLogprobs(
    model: string,
    prompt: readonly number[],
    top: number,
  ): Promise<TokenLogprobs[]> {
    return this.#ask({ kind: "promptLogprobs", model, prompt, top });
  }

  score(model: string, pairs: readonly PreferencePair[]): Promise<PairScore[]> {
    return this.#ask({ kind: "score", model, pairs });
  }

  load(): Promise<ServingLoad> {
    return this.#ask({ kind: "load" });
  }

  close(): void {
    this.#closing.abort();
    this.#endWorker("The server was closed");
  }

  async #ask<T>(task: Task, watch?: Told, signal?: AbortSignal): Promise<T> {
    const worker = this.#worker;
    if (!worker) throw new UnavailableError(this.#outage ?? "The server was closed");
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject, watch });
    worker.postMessage({ kind: "task", id, task } satisfies ToWorker);
    const cancel = () => worker.postMessage({ kind: "cancel", id } satisfies ToWorker);
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    return await promise.finally(() => signal?.removeEventListener("abort", cancel));
  }

  #receive(message: Exclude<FromWorker, { kind: "ready" }>): void {
    if (message.kind === "say") return this.say(message.line);
    if (message.kind === "outage") return void (this.#outage = message.outage);
    const pending = this.#pending.get(message.id!);
    if (!pending) return;
    if (message.kind === "done" || message.kind === "failed") {
      this.#pending.delete(message.id!);
      if (message.kind === "done") pending.resolve(message.result);
      else pending.reject(received(message.error));
      return;
    }
    try {
      tell(pending.watch ?? {}, message);
    } catch (error) { // costs who listens, and nobody else
      this.#pending.delete(message.id);
      this.#worker?.postMessage({ kind: "cancel", id: message.id } satisfies ToWorker);
      pending.reject(error);
    }
  }
}

/** What comes before a result. */
type Progress = Extract<FromWorker, { kind: "tokens" | "event" }>;

function tell(watch: Told, message: Progress): void {
  if (message.kind === "tokens") watch.onTokens?.(message.tokens);
  else watch.onEvent?.(message.event);
}
