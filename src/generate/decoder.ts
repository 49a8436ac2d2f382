// This module is browser compatible.
import { Commands, type Recording } from "../gpu/commands.ts";
import { Readback } from "../gpu/readback.ts";
import { readTensor, rowsFrom, type Tensor, view, writeTensor } from "../gpu/tensor.ts";
import { nextEvents } from "../gpu/turns.ts";
import { paddedColumns } from "../kernels/matmul.ts";
import {
  countsStride,
  NO_TOKEN,
  sample,
  samplingSettings,
  tokenCounts,
} from "../kernels/sample.ts";
import {
  logprobWords,
  readTokenLogprobs,
  type TokenLogprobs,
  tokenLogprobs,
} from "../kernels/token_logprobs.ts";
import { nonFiniteError } from "../model/finite.ts";
import type { Model } from "../model/model.ts";
import { decodeForward, decodeHead } from "./decode.ts";
import { kvCache } from "./kv_cache.ts";
import { prefill } from "./prefill.ts";
import type { Sequence } from "./sequences.ts";

/** Steps in one submit: more would make a person wait, and compute more for nothing behind a stop id. */
export const MOST_STEPS = 64;

/**
 * How long the GPU has work while others have their turn in the middle of a submit, and while what comes behind is recorded:
 * in Deno, beside an H100, a turn took 2 to 3 ms and recording 0.5 ms for each step of 30 layers.
 */
const TURN_MS = 10;

/** Likeliest tokens that are told with a token's log-probability, at most. */
export const MOST_TOP_LOGPROBS = 20;

/** A token that was drawn, with its log-probability where the sequence wants it. */
export interface DrawnToken {
  /** {@link NO_TOKEN} where none could be drawn, and behind it anything: see {@link expectToken}. */
  id: number;
  logprobs?: TokenLogprobs;
}

/**
 * @param index Of the token in its answer, from 0.
 * @throws {NonFiniteError} If no token could be drawn, for NaN or infinity stood among the scores.
 */
export function expectToken({ weights }: Model, { id }: DrawnToken, index: number): void {
  if (id === NO_TOKEN) throw nonFiniteError(weights, `scores for token ${index + 1} of the answer`);
}

/**
 * The GPU's side of decoding: a cache of keys and values, counts of what each slot has had, and steps over any of the sequences. The
 * CPU says which go on and where each one stands, then several steps follow each other in one submit, and only their tokens
 * come back. A model's decoders share its workspace: one at a time.
 */
export class Decoder {
  readonly #cache: Tensor[];
  readonly #counts: Tensor;
  readonly #readback: Readback;
  /** Of one step of the last {@link next}, without what others took longer than the GPU had work for. */
  stepMs = Infinity;

  /**
   * @param cacheRows Tokens that the cache holds.
   * @param slots Sequences in work at the same time.
   */
  constructor(readonly model: Model, readonly cacheRows: number, readonly slots: number) {
    const { gpu, runtime: { workspace }, weights: { config } } = model;
    this.#cache = kvCache(model, cacheRows);
    this.#counts = workspace.get("decode counts", "u32", [
      slots,
      countsStride(config.vocabSize),
      2,
    ]);
    const words = 1 + logprobWords(this.#mostTop);
    this.#readback = new Readback(gpu, 4 * slots * MOST_STEPS * words);
  }

  /**
   * Computes the prompts of new sequences and draws their first tokens.
   *
   * @returns One token per sequence.
   */
  async begin(sequences: readonly Sequence[]): Promise<DrawnToken[]> {
    const { gpu, runtime, weights: { config } } = this.model;
    for (const { slot, prompt, bias } of sequences) {
      const row = rowsFrom(gpu, this.#counts, slot, 1);
      writeTensor(gpu, row, tokenCounts(config.vocabSize, prompt, [], bias));
    }
    const y = runtime.workspace.get("decode prefilled", "f32", [
      sequences.length,
      config.hiddenSize,
    ]);
    prefill(this.model, this.#cache, y, sequences);
    return (await this.#draw(sequences, 1, { first: y })).map(([token]) => token);
  }

  /**
   * Draws the next tokens of sequences that have begun. Others have a turn meanwhile.
   *
   * @param steps At most {@link MOST_STEPS}, and no more than any of the sequences has room for.
   * @param goesOn Asked once others have had their turn, while the GPU takes the first steps: whether to take the rest.
   * @returns Tokens of each sequence, `steps` of them or as many as were taken.
   */
  next(
    sequences: readonly Sequence[],
    steps: number,
    goesOn: () => boolean = () => true,
  ): Promise<DrawnToken[][]> {
    return this.#draw(sequences, steps, { goesOn });
  }

  /** Frees what it has besides the model's workspace; it is of no more use. */
  [Symbol.dispose](): void {
    this.#readback.destroy();
  }

  /** The distribution that the newest token of sequence `b` of those continued last was drawn from (V). */
  async probabilities(b: number): Promise<Float32Array> {
    const { gpu, runtime, weights } = this.model;
    const { vocabSize } = weights.config;
    const stride = paddedColumns(vocabSize);
    const logits = runtime.workspace.get("decode logits", "f32", [b + 1, stride]);
    return (await readTensor(gpu, logits)).slice(b * stride, b * stride + vocabSize);
  }

  get #mostTop(): number {
    return Math.min(MOST_TOP_LOGPROBS, this.model.weights.config.vocabSize);
  }

  /** @param first The end of the residual stream of the newest tokens where it is known, f32 (B, C). */
  async #draw(
    sequences: readonly Sequence[],
    steps: number,
    { first, goesOn = () => true }: { first?: Tensor; goesOn?: () => boolean },
  ): Promise<DrawnToken[][]> {
    const { gpu, runtime: { workspace }, weights: { config: { vocabSize: V } } } = this.model;
    const { tokens, settings, lengths } = this.#write(sequences);
    const began = performance.now();
    const B = sequences.length;
    this.#readback.discard(); // what a failed call left
    // As large as they ever are, so that memory does not depend on how many steps a submit has time for.
    const most = [this.slots, MOST_STEPS];
    const mostHistory = workspace.get("decode history", "u32", [this.slots, 1 + MOST_STEPS]);
    const history = view(mostHistory, [B, 1 + steps]);
    const tops = sequences.map(({ topLogprobs }) => topLogprobs);
    const top = Math.max(...tops.map((count) => count ?? 0));
    const logprobs = tops.some((count) => count !== null)
      ? view(
        workspace.get("decode logprobs", "u32", [...most, logprobWords(this.#mostTop)]),
        [B, steps, logprobWords(top)],
      )
      : undefined;
    const kept = logprobs && workspace.get("decode kept logits", "f32", [B, paddedColumns(V)]);
    const commands = new Commands(gpu);
    commands.clear(history);
    const drawFrom = (y: Tensor) => {
      const logits = decodeHead(commands, this.model, y);
      if (kept) commands.copy(kept, logits); // sample overwrites them
      sample(commands, tokens, logits, V, this.#counts, settings, lengths, history);
    };
    const take = (from: number, to: number) => {
      let recording: Recording | undefined;
      for (let step = from; step < to; step++) {
        if (step === 0 && first) drawFrom(first);
        else if (recording) commands.replay(recording);
        else {
          recording = commands.record(() =>
            drawFrom(decodeForward(commands, this.model, this.#cache, tokens, lengths))
          );
        }
        if (kept) tokenLogprobs(commands, logprobs!, kept, tokens, { V, top, step });
      }
    };

    // A device that shares its thread does nothing before it is waited for, and gives others their turns by itself.
    const early = gpu.turns ? steps : Math.min(steps, Math.ceil(TURN_MS / this.stepMs) || 1);
    let taken = early;
    let idleMs = 0;
    take(0, early);
    if (early < steps) {
      commands.submit();
      const turnBegan = performance.now();
      await nextEvents();
      idleMs = Math.max(0, performance.now() - turnBegan - TURN_MS);
      if (goesOn()) take(early, taken = steps);
    }
    let ids = new Uint32Array();
    let words = new Uint32Array();
    this.#readback.record(commands, history, (data) => ids = new Uint32Array(data));
    if (logprobs) {
      this.#readback.record(commands, logprobs, (data) => words = new Uint32Array(data));
    }
    commands.submit();
    const onRead = () => {
      if (!first) this.stepMs = (performance.now() - began - idleMs) / taken;
    };
    await this.#readback.fetch({ onRead, turn: early === steps });
    return sequences.map(({ topLogprobs }, b) =>
      Array.from({ length: taken }, (_, step) => {
        const id = ids[b * (1 + steps) + 1 + step];
        if (topLogprobs === null) return { id };
        const begin = (b * steps + step) * logprobWords(top);
        const row = words.subarray(begin, begin + logprobWords(topLogprobs));
        return { id, logprobs: readTokenLogprobs(row, id) };
      })
    );
  }

  /** Puts where the sequences stand on the GPU: at the newest token of each. */
  #write(sequences: readonly Sequence[]): Record<"tokens" | "lengths" | "settings", Tensor> {
    const { gpu, runtime } = this.model;
    const put = (name: string, data: Uint32Array) => {
      const shape = [sequences.length, data.length / sequences.length];
      const tensor = runtime.workspace.get(`decode ${name}`, "u32", shape);
      writeTensor(gpu, tensor, data);
      return shape[1] === 1 ? view(tensor, [shape[0]]) : tensor;
    };
    const lengths = sequences.map(({ prompt, ids }) => prompt.length + ids.length);
    const all = (value: (sequence: Sequence, length: number) => number[]) =>
      Uint32Array.from(sequences.flatMap((sequence, i) => value(sequence, lengths[i])));
    return {
      tokens: put("tokens", all(({ prompt, ids }) => [ids.at(-1) ?? prompt.at(-1)!])),
      lengths: put("lengths", all(({ firstRow }, length) => [firstRow, length])),
      settings: put(
        "settings",
        samplingSettings(sequences.map(({ sampling, slot }) => ({ ...sampling, slot }))),
      ),
    };
  }
}
