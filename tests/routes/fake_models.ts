/** Models without arithmetic: how likely a token is depends on the one before it alone, by a table of random numbers. */
import type { PreferencePair } from "../../src/data/pairs.ts";
import type { TokenSequence } from "../../src/data/truncate.ts";
import type { PairScore, SequenceScores } from "../../src/dpo/evaluate.ts";
import { UserError } from "../../src/errors.ts";
import type { Completion, GenerationRequest } from "../../src/generate/batcher.ts";
import type { DrawnToken } from "../../src/generate/decoder.ts";
import { checkIds } from "../../src/generate/sequences.ts";
import { checkSampling } from "../../src/kernels/sample.ts";
import type { TokenLogprobs } from "../../src/kernels/token_logprobs.ts";
import type { ModelHost, ServedModel, ServingLoad } from "../../src/serve/serving.ts";
import { Random } from "../../fixtures/random.ts";

const POSITIONS = 128;
const CACHE_ROWS = 512;

/** Serves as a GPU would, with the same checks; each step of all sequences is a turn of the event loop. */
export class FakeModels implements ModelHost {
  readonly slots = 4;
  readonly outage = null;
  readonly models: ServedModel[] = [];
  readonly #table: Float64Array[];
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(readonly vocabSize: number, names: readonly string[]) {
    this.#table = Array.from({ length: vocabSize }, (_, before) => logSoftmax(vocabSize, before));
    for (const name of names) this.#serve(name, name);
  }

  #serve(name: string, root: string): ServedModel {
    const served = { name, root, created: 0, positions: POSITIONS, vocabSize: this.vocabSize };
    this.models.push(served);
    return served;
  }

  async generate(_model: string, request: GenerationRequest): Promise<Completion> {
    const { prompt, maxNewTokens, sampling, stopIds, bias, topLogprobs, onTokens, signal } =
      request;
    this.#check(prompt, maxNewTokens);
    checkSampling(sampling);
    await using _slot = await this.#takeSlot();
    const ids: number[] = [];
    const end = (finishReason: Completion["finishReason"]) => ({
      ids,
      cachedTokens: 0,
      finishReason,
    });
    const random = new Random(1 + sampling.seed * 31 + sampling.sequence);
    while (ids.length < maxNewTokens) {
      await new Promise((resolve) => setTimeout(resolve));
      if (signal?.aborted) return end("aborted");
      const before = ids.at(-1) ?? prompt.at(-1)!;
      const scores = this.#table[before].map((logprob, id) => logprob + (bias?.get(id) ?? 0));
      // Gumbel's noise makes of the largest score a draw from the softmax.
      const drawn = scores.map((score) =>
        score - sampling.temperature * Math.log(-Math.log(uniform(random)))
      );
      const id = drawn.indexOf(Math.max(...drawn));
      ids.push(id);
      const token: DrawnToken = topLogprobs == null
        ? { id }
        : { id, logprobs: this.#at(before, id, topLogprobs) };
      onTokens?.([token]);
      if (stopIds.includes(id)) return end("stop");
    }
    return end("length");
  }

  promptLogprobs(_model: string, prompt: readonly number[], top: number): Promise<TokenLogprobs[]> {
    this.#check(prompt, 0);
    return Promise.resolve(prompt.slice(1).map((id, i) => this.#at(prompt[i], id, top)));
  }

  score(_model: string, pairs: readonly PreferencePair[]): Promise<PairScore[]> {
    const scoresOf = ({ ids, promptLength }: TokenSequence): SequenceScores => {
      const logprobs = [...ids].slice(1).map((id, i) => this.#table[ids[i]][id]);
      const [all_sum, all_tokens] = [sumOf(logprobs), logprobs.length];
      const completion = logprobs.slice(promptLength - 1);
      const [sum, tokens] = [sumOf(completion), completion.length];
      return {
        sum,
        mean: sum / tokens,
        tokens,
        all_sum,
        all_mean: all_sum / all_tokens,
        all_tokens,
      };
    };
    return Promise.resolve(pairs.map(({ index, chosen, rejected }) => ({
      index,
      chosen: scoresOf(chosen),
      rejected: scoresOf(rejected),
    })));
  }

  load(): Promise<ServingLoad> {
    const [running, waiting] = [this.#running, this.#waiting.length];
    return Promise.resolve({
      ...{ running, waiting, cacheRows: CACHE_ROWS, freeCacheRows: CACHE_ROWS, gpuBytes: 0 },
    });
  }

  addModel({ name, root }: { name: string; root: string }): Promise<ServedModel> {
    return Promise.resolve(this.#serve(name, root));
  }

  removeModel(name: string): Promise<void> {
    this.models.splice(this.models.findIndex((model) => model.name === name), 1);
    return Promise.resolve();
  }

  close(): void {}

  #check(prompt: readonly number[], maxNewTokens: number): void {
    if (prompt.length === 0) throw new UserError("Expected a prompt of at least one token");
    checkIds("a prompt", prompt, this.vocabSize);
    if (prompt.length + maxNewTokens > POSITIONS) {
      throw new UserError(`Expected at most ${POSITIONS} positions`);
    }
  }

  async #takeSlot(): Promise<AsyncDisposable> {
    if (this.#running === this.slots) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    return {
      [Symbol.asyncDispose]: () => {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#running--;
        return Promise.resolve();
      },
    };
  }

  #at(before: number, id: number, top: number): TokenLogprobs {
    const logprobs = this.#table[before];
    const ids = [...logprobs.keys()].sort((a, b) => logprobs[b] - logprobs[a]).slice(0, top);
    return { id, logprob: logprobs[id], top: ids.map((id) => ({ id, logprob: logprobs[id] })) };
  }
}

/** In (0, 1). */
const uniform = (random: Random) => (random.below(2 ** 24) + 0.5) / 2 ** 24;

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

function logSoftmax(count: number, seed: number): Float64Array {
  const random = new Random(seed + 1);
  const scores = Float64Array.from({ length: count }, () => 4 * uniform(random));
  const logSum = Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0));
  return scores.map((score) => score - logSum);
}
