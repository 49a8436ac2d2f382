// This module is browser compatible.
/**
 * Continuous batching: requests of any length come and go while others are in work. Between two submits the batch is put
 * together anew: what is finished or given up leaves, what waits and fits joins. The result does not depend on
 * other requests, bit for bit.
 *
 * @module
 */
import { checkSampling, NO_TOKEN, type Sampling } from "../kernels/sample.ts";
import type { Model } from "../model/model.ts";
import { Decoder, type DrawnToken, expectToken, MOST_STEPS } from "./decoder.ts";
import { type CachedPrefix, PrefixCache } from "./prefix_cache.ts";
import { RowPool } from "./row_pool.ts";
import { checkPrompt, type Sequence } from "./sequences.ts";

/** A prompt to continue. */
export interface GenerationRequest {
  prompt: readonly number[];
  maxNewTokens: number;
  sampling: Sampling;
  /** The sequence ends with the first of these. */
  stopIds: readonly number[];
  /** Added to the scores of tokens. */
  bias?: ReadonlyMap<number, number>;
  /** Tell each token's log-probability, and those of so many likeliest; null: do not. */
  topLogprobs?: number | null;
  /** Told of the tokens in order, a few at a time. */
  onTokens?: (tokens: readonly DrawnToken[]) => void;
  /** Ends the sequence as it is, or before it begins. */
  signal?: AbortSignal;
}

/** What a prompt was continued with. */
export interface Completion {
  /** The new tokens; the stop id is among them. */
  ids: number[];
  /** Tokens of the prompt that were in the prefix cache, and not computed. */
  cachedTokens: number;
  finishReason: "stop" | "length" | "aborted";
}

/** How much work there is. */
export interface BatcherLoad {
  running: number;
  waiting: number;
  cacheRows: number;
  freeCacheRows: number;
}

interface Entry {
  request: GenerationRequest;
  sequence: Sequence;
  stopIds: ReadonlySet<number>;
  resolve(completion: Completion): void;
  reject(error: unknown): void;
}

export interface BatcherOptions {
  /** Tokens that the cache holds: prompts and completions of all that is in work. */
  cacheRows: number;
  /** Sequences in work at the same time. */
  slots: number;
  /** How long one submit may take: the longest that a new or cancelled request waits for its turn. */
  submitMs?: number;
}

/** Tokens of prompts that are computed before the sequences in work get their next turn. */
const PREFILL_TOKENS = 2048;

/** See the module: what fails costs those alone who were part of it. One owner: all calls from one thread. */
export class Batcher {
  readonly #decoder: Decoder;
  readonly #rows: RowPool;
  readonly #prefixes: PrefixCache;
  readonly #freeSlots: number[];
  readonly #submitMs: number;
  #waiting: Entry[] = [];
  #running: Entry[] = [];
  #working = false;

  constructor(readonly model: Model, { cacheRows, slots, submitMs = 50 }: BatcherOptions) {
    this.#decoder = new Decoder(model, cacheRows, slots);
    this.#rows = new RowPool(cacheRows);
    this.#prefixes = new PrefixCache(this.#rows);
    this.#freeSlots = Array.from({ length: slots }, (_, slot) => slots - 1 - slot);
    this.#submitMs = submitMs;
  }

  /** Frees what it has besides the model's workspace; nothing may be in work. */
  [Symbol.dispose](): void {
    this.#decoder[Symbol.dispose]();
  }

  get load(): BatcherLoad {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      cacheRows: this.#rows.rows,
      freeCacheRows: this.#rows.freeRows + this.#prefixes.keptRows,
    };
  }

  /**
   * Continues a prompt; it waits for its turn where slots or rows are short, first come, first served.
   *
   * @throws {UserError} If the prompt is empty, has an unknown id, or does not fit with its new tokens.
   * @throws {NonFiniteError} If NaN or infinity stands among the scores of a token.
   */
  async add(request: GenerationRequest): Promise<Completion> {
    const { prompt, maxNewTokens, sampling, stopIds, bias, topLogprobs = null } = request;
    checkPrompt(this.model, request, this.#rows.rows);
    checkSampling(sampling);
    if (request.signal?.aborted || maxNewTokens === 0) {
      const finishReason = maxNewTokens === 0 ? "length" : "aborted";
      return { ids: [], cachedTokens: 0, finishReason };
    }
    const sequence: Sequence = {
      prompt,
      ids: [],
      slot: 0,
      firstRow: 0,
      sampling,
      bias,
      topLogprobs,
    };
    const { promise, resolve, reject } = Promise.withResolvers<Completion>();
    const entry = { request, sequence, stopIds: new Set(stopIds), resolve, reject };
    this.#waiting.push(entry);
    request.signal?.addEventListener("abort", () => this.#giveUpWaiting(entry), { once: true });
    if (!this.#working) this.#work();
    return await promise;
  }

  #giveUpWaiting(entry: Entry): void {
    const at = this.#waiting.indexOf(entry);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    entry.resolve({ ids: [], cachedTokens: 0, finishReason: "aborted" });
  }

  async #work(): Promise<void> {
    this.#working = true;
    try {
      await Promise.resolve(); // what is added in the same turn begins together
      while (this.#waiting.length + this.#running.length > 0) {
        const joined = this.#join();
        if (this.#running.length === 0) {
          throw new Error("Expected room for a request where none is in work, found none");
        }
        if (joined.length > 0) await this.#begin(joined);
        this.#leave();
        if (this.#running.length > 0) await this.#step();
      }
    } catch (error) { // a defect of ours: nobody may wait without end
      for (const entry of [...this.#running]) this.#fail(entry, error);
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    } finally {
      this.#working = false;
    }
  }

  /** Computes the prompts of those who joined: together, and where that fails one by one, to see whose fault it is. */
  async #begin(joined: readonly Entry[]): Promise<void> {
    try {
      const first = await this.#decoder.begin(joined.map(({ sequence }) => sequence));
      for (const [i, entry] of joined.entries()) this.#take(entry, [first[i]]);
    } catch (error) {
      if (joined.length === 1 || this.model.gpu.failure) {
        for (const entry of joined) this.#fail(entry, error);
      } else for (const entry of joined) await this.#begin([entry]);
    }
  }

  /** Gives slots and rows to those that wait, as long as there are any. */
  #join(): Entry[] {
    const joined: Entry[] = [];
    const used: CachedPrefix[] = [];
    let tokens = 0;
    while (this.#waiting.length > 0 && this.#freeSlots.length > 0) {
      const [entry] = this.#waiting;
      const { sequence } = entry;
      tokens += sequence.prompt.length;
      if (joined.length > 0 && tokens > PREFILL_TOKENS) break;
      const place = this.#prefixes.take(sequence.prompt, rowsOf(entry.request), used);
      if (place === null) break;
      Object.assign(sequence, place);
      if (place.prefix) used.push(place.prefix);
      sequence.slot = this.#freeSlots.pop()!;
      joined.push(this.#waiting.shift()!);
    }
    this.#running.push(...joined);
    return joined;
  }

  /** A submit, cut short where somebody leaves or joins. */
  async #step(): Promise<void> {
    const running = [...this.#running];
    const room = running.map(({ request, sequence }) => request.maxNewTokens - sequence.ids.length);
    const affordable = Math.max(1, Math.floor(this.#submitMs / this.#decoder.stepMs));
    const steps = Math.min(MOST_STEPS, affordable, ...room);
    const waiting = this.#waiting.length;
    const goesOn = () =>
      !running.some(({ request }) => request.signal?.aborted) &&
      (this.#waiting.length <= waiting || this.#freeSlots.length === 0);
    try {
      const sequences = running.map(({ sequence }) => sequence);
      const drawn = await this.#decoder.next(sequences, steps, goesOn);
      for (const [i, entry] of running.entries()) this.#take(entry, drawn[i]);
    } catch (error) {
      for (const entry of running) this.#fail(entry, error);
    }
    this.#leave();
  }

  /** Adds new tokens to a sequence, up to the first that ends it; it fails with what its listener throws. */
  #take(entry: Entry, drawn: readonly DrawnToken[]): void {
    const { request, sequence, stopIds } = entry;
    if (request.signal?.aborted) return;
    const missing = drawn.findIndex(({ id }) => id === NO_TOKEN);
    const sound = missing < 0 ? drawn : drawn.slice(0, missing);
    const stop = sound.findIndex(({ id }) => stopIds.has(id));
    const taken = stop < 0 ? sound : sound.slice(0, stop + 1);
    for (const { id } of taken) sequence.ids.push(id);
    try {
      if (taken.length > 0) request.onTokens?.(taken);
      if (missing >= 0 && stop < 0) expectToken(this.model, drawn[missing], sequence.ids.length);
    } catch (error) {
      this.#fail(entry, error);
    }
  }

  /** Answers with an error, and gives slot and rows back. */
  #fail(entry: Entry, error: unknown): void {
    const at = this.#running.indexOf(entry);
    if (at < 0) return;
    this.#running.splice(at, 1);
    this.#freeSlots.push(entry.sequence.slot);
    this.#rows.give(entry.sequence.firstRow, rowsOf(entry.request));
    entry.reject(error);
  }

  /** Answers what is finished or given up, and frees its slot and rows. */
  #leave(): void {
    this.#running = this.#running.filter((entry) => {
      const { request, sequence, resolve } = entry;
      const finishReason = finishReasonOf(entry);
      if (finishReason === null) return true;
      this.#freeSlots.push(sequence.slot);
      this.#prefixes.keep(sequence.prompt, sequence.firstRow, rowsOf(request));
      resolve({ ids: sequence.ids, cachedTokens: sequence.prefix?.length ?? 0, finishReason });
      return false;
    });
  }
}

const rowsOf = ({ prompt, maxNewTokens }: GenerationRequest) => prompt.length + maxNewTokens;

function finishReasonOf(
  { request, sequence: { ids }, stopIds }: Entry,
): Completion["finishReason"] | null {
  if (ids.length > 0 && stopIds.has(ids.at(-1)!)) return "stop";
  if (ids.length === request.maxNewTokens) return "length";
  return request.signal?.aborted ? "aborted" : null;
}
