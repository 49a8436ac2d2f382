import type { PreferencePair } from "../../data/pairs.ts";
import type { PairScore } from "../../dpo/evaluate.ts";
import { UnavailableError } from "../../errors.ts";
import type { Completion, GenerationRequest } from "../../generate/batcher.ts";
import type { TokenLogprobs } from "../../kernels/token_logprobs.ts";
import type { Resolved } from "../../config.ts";
import type { EvaluationResults, Evaluator } from "../../serve/evaluations.ts";
import type { Watch } from "../../serve/job_queue.ts";
import type { ModelHost, ServedModel, ServingLoad } from "../../serve/serving.ts";
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

/** Models on the GPU of a worker, which never stops this thread. */
export class RemoteServing implements ModelHost, Trainer, Evaluator {
  readonly #pending = new Map<number, Pending>();
  readonly #models: ServedModel[];
  #nextId = 0;
  #outage: string | null = null;
  /** Why the worker is of no more use. */
  #ended: UnavailableError | null = null;

  private constructor(
    readonly worker: Worker,
    models: readonly ServedModel[],
    readonly slots: number,
    readonly say: (line: string) => void,
  ) {
    this.#models = [...models];
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      say(`error      The GPU's worker failed: ${event.message}`);
      this.#end("The GPU's worker failed: restart the server");
    };
  }

  get outage(): string | null {
    return this.#ended?.message ?? this.#outage;
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
    const url = new URL("./worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const { promise, resolve, reject } = Promise.withResolvers<readonly ServedModel[]>();
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`The GPU's worker failed: ${event.message}`));
    };
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.kind === "say") say(data.line);
      if (data.kind === "ready") resolve(data.models);
      if (data.kind === "failed") reject(received(data.error));
    };
    worker.postMessage({ kind: "setup", setup } satisfies ToWorker);
    try {
      return new RemoteServing(worker, await promise, setup.slots, say);
    } catch (error) {
      worker.terminate();
      throw error;
    }
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
    this.#models.push(served);
    return served;
  }

  async removeModel(name: string): Promise<void> {
    const at = this.#models.findIndex((model) => model.name === name);
    if (at >= 0) this.#models.splice(at, 1);
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
    this.worker.terminate();
    this.#end("The server was closed");
  }

  async #ask<T>(task: Task, watch?: Told, signal?: AbortSignal): Promise<T> {
    if (this.#ended) throw this.#ended; // nobody would answer
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#pending.set(id, { resolve: resolve as Pending["resolve"], reject, watch });
    this.worker.postMessage({ kind: "task", id, task } satisfies ToWorker);
    const cancel = () => this.worker.postMessage({ kind: "cancel", id } satisfies ToWorker);
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    return await promise.finally(() => signal?.removeEventListener("abort", cancel));
  }

  #receive(message: FromWorker): void {
    if (message.kind === "ready") return;
    if (message.kind === "say") return this.say(message.line);
    if (message.kind === "outage") return void (this.#outage = message.outage);
    if (message.kind === "failed" && message.id === undefined) {
      return this.#end(message.error.message);
    }
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
      this.worker.postMessage({ kind: "cancel", id: message.id } satisfies ToWorker);
      pending.reject(error);
    }
  }

  /** Fails what is in work, and whatever is asked for from now on. */
  #end(reason: string): void {
    this.#ended ??= new UnavailableError(reason);
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}

/** What comes before a result. */
type Progress = Extract<FromWorker, { kind: "tokens" | "plan" | "metrics" | "line" }>;

function tell(watch: Told, message: Progress): void {
  if (message.kind === "tokens") watch.onTokens?.(message.tokens);
  else if (message.kind === "plan") watch.onPlan?.(message.steps);
  else if (message.kind === "metrics") watch.onMetrics?.(message.metrics);
  else watch.onLine?.(message.line);
}
