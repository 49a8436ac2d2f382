/** What all routes share: the models, who may speak now, and the numbers for `/metrics`. */
import { Counter, Gauge, Histogram, Registry } from "prom-client"; // buckets and the text format, kept by the Node community
import type { JobQueue } from "../src/serve/jobs.ts";
import type { ServedModel, Serving, ServingLoad } from "../src/serve/serving.ts";
import type { TextTokenizer } from "../src/text/tokenizer.ts";
import { ApiError } from "./errors.ts";

/** How a model reads and writes. */
export interface Voice {
  /** null: token ids only. */
  tokenizer: TextTokenizer | null;
  stopIds: readonly number[];
}

/** What routes work with. */
export interface Api {
  serving: Serving;
  /** Of the models that the server was started with. */
  voices: ReadonlyMap<string, Voice>;
  admission: Admission;
  metrics: Metrics;
  /** Trainings, or null where the server trains nothing. */
  jobs: JobQueue | null;
  /** When the server started, in seconds since 1970. */
  started: number;
  /** False while starting up or shutting down. */
  isReady(): boolean;
}

/** A model that was asked for, with its voice. */
export interface Asked extends Voice {
  model: ServedModel;
}

/**
 * @param name As the request has it; without one the first model answers.
 * @throws {ApiError} 404 if there is no such model.
 */
export function modelOf({ serving, voices }: Api, name: string | null | undefined): Asked {
  const model = name ? serving.models.find((model) => model.name === name) : serving.models[0];
  if (!model) {
    const names = serving.models.map(({ name }) => name).join(", ");
    throw new ApiError(404, `Expected one of the models ${names}, found "${name}"`, {
      param: "model",
      code: "model_not_found",
    });
  }
  return { model, ...voices.get(model.root)! };
}

/** @throws {ApiError} 400 if the model has no tokenizer. */
export function tokenizerOf({ model, tokenizer }: Asked): TextTokenizer {
  if (tokenizer) return tokenizer;
  throw new ApiError(400, `Expected token ids, found text: ${model.name} has no tokenizer`);
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

  /** @returns All numbers in Prometheus' text format. */
  async text(serving: Serving): Promise<string> {
    for (const [name, value] of Object.entries(await serving.load())) {
      this.#load[name as keyof ServingLoad].set(value);
    }
    return await this.registry.metrics();
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ ...this.#base, name: `smoldpo_${name}`, help });
  }
}
