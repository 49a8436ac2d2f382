/** What all routes share: the models, who may speak now, and the numbers for `/metrics`. */
import { Counter, Gauge, Histogram, Registry } from "prom-client"; // buckets and the text format, kept by the Node community
import { JOB_STATUSES, type JobQueue } from "../src/serve/job_queue.ts";
import type { ModelPool, PooledModel } from "../src/serve/model_pool.ts";
import type { Serving, ServingLoad } from "../src/serve/serving.ts";
import type { TextTokenizer } from "../src/text/tokenizer.ts";
import { ApiError } from "./errors.ts";

/** What routes work with. */
export interface Api {
  serving: Serving;
  pool: ModelPool;
  admission: Admission;
  metrics: Metrics;
  /** Seconds that an answer may take. */
  timeout: number;
  /** False while starting up or shutting down. */
  isReady(): boolean;
}

/**
 * @param name As the request has it; without one the first model answers. A run or checkpoint is loaded.
 * @throws {ApiError} 404 if there is no such model.
 * @throws {PoolFull} If there is no room to load it.
 */
export async function modelOf(
  { pool }: Pick<Api, "pool">,
  name: string | null | undefined,
): Promise<PooledModel> {
  return await pool.find(name || pool.models[0].name) ?? noModel(pool, name!);
}

/** @throws {ApiError} 404, always. */
export function noModel({ models, grows }: ModelPool, name: string, param = "model"): never {
  const names = models.map(({ name }) => name).join(", ");
  const further = grows ? " or a run of /v1/runs" : "";
  throw new ApiError(404, `Expected one of the models ${names}${further}, found "${name}"`, {
    param,
    code: "model_not_found",
  });
}

/** @throws {ApiError} 400 if the model has no tokenizer. */
export function tokenizerOf({ model, tokenizer }: PooledModel): TextTokenizer {
  if (tokenizer) return tokenizer;
  throw new ApiError(400, `Expected token ids, found text: ${model.name} has no tokenizer`);
}

/**
 * Waits for an answer of the GPU, however it fares: its thread may hang.
 *
 * @param onLate Called when it is too late.
 * @throws {ApiError} 504 if it takes too long.
 */
export async function inTime<T>(
  { timeout }: Pick<Api, "timeout">,
  answer: Promise<T>,
  onLate = () => {},
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const message = `Expected an answer within ${timeout} s, found it unfinished`;
    reject(new ApiError(504, message, { code: "timeout" }));
    onLate();
  }, timeout * 1000);
  return await Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/**
 * How many sequences are in work or wait: a bounded number, for a client is better told at once to come back than left in an
 * endless queue.
 */
export class Admission {
  #inside = 0;

  /** @param most Sequences in work and waiting. */
  constructor(readonly most: number) {}

  get inside(): number {
    return this.#inside;
  }

  /**
   * Lets sequences in.
   *
   * @returns Lets them out; to be called once.
   * @throws {ApiError} 429 if there is no room.
   */
  enter(sequences: number): () => void {
    if (sequences > this.most) {
      throw new ApiError(400, `Expected at most ${this.most} sequences, found ${sequences}`);
    }
    if (this.#inside + sequences > this.most) {
      throw new ApiError(429, `The server works on ${this.#inside} sequences; come back shortly`, {
        code: "queue_full",
        headers: { "retry-after": "1" },
      });
    }
    this.#inside += sequences;
    return () => this.#inside -= sequences;
  }
}

/** The server's counters. */
export class Metrics {
  readonly registry = new Registry();
  readonly #base = { registers: [this.registry] };
  readonly requests = new Counter({
    ...this.#base,
    name: "smoldpo_requests_total",
    help: "Requests by route and status",
    labelNames: ["route", "status"],
  });
  readonly promptTokens = new Counter({
    ...this.#base,
    name: "smoldpo_prompt_tokens_total",
    help: "Tokens of prompts",
  });
  readonly completionTokens = new Counter({
    ...this.#base,
    name: "smoldpo_completion_tokens_total",
    help: "Tokens generated",
  });
  readonly firstTokenSeconds = new Histogram({
    ...this.#base,
    name: "smoldpo_first_token_seconds",
    help: "Time from a request to its first token",
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
  });
  readonly #load = {
    running: this.#gauge("running", "Sequences in work"),
    waiting: this.#gauge("waiting", "Sequences that wait for a slot"),
    cacheRows: this.#gauge("cache_tokens", "Tokens that the caches hold"),
    freeCacheRows: this.#gauge("cache_tokens_free", "Tokens that the caches have room for"),
    gpuBytes: this.#gauge("gpu_bytes", "Memory of the GPU in use"),
  };

  readonly #models = this.#gauge("models", "Models that are loaded");
  readonly #jobs = new Gauge({
    ...this.#base,
    name: "smoldpo_jobs",
    help: "Jobs that are remembered, by status",
    labelNames: ["status"],
  });

  /** @returns All numbers in Prometheus' text format. */
  async text(serving: Serving, load: ServingLoad, { jobs }: JobQueue): Promise<string> {
    this.#models.set(serving.models.length);
    for (const status of JOB_STATUSES) {
      this.#jobs.set({ status }, jobs.filter((job) => job.status === status).length);
    }
    for (const [name, value] of Object.entries(load)) {
      this.#load[name as keyof ServingLoad].set(value);
    }
    return await this.registry.metrics();
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ ...this.#base, name: `smoldpo_${name}`, help });
  }
}
