// This module is browser compatible.
import { Commands } from "../gpu/commands.ts";
import { Readback } from "../gpu/readback.ts";
import { readTensor, type Tensor, view, writeTensor } from "../gpu/tensor.ts";
import { decodeAdvance } from "../kernels/decode_advance.ts";
import { paddedColumns } from "../kernels/matmul.ts";
import { sample, type Sampling, samplingSettings, seenTokens } from "../kernels/sample.ts";
import type { Model } from "../model/model.ts";
import { decodeForward, decodeHead } from "./decode.ts";
import { kvCache } from "./kv_cache.ts";
import { prefill } from "./prefill.ts";
import type { Sequence, SequenceBatch } from "./sequences.ts";

/** Steps in one submit: more would make a person wait, and compute more for nothing behind a stop id. */
export const MOST_STEPS = 32;

/** How tokens are drawn; the sequence is the index of its prompt. */
export type SamplingOptions = Omit<Sampling, "sequence">;

/**
 * A batch of sequences on the GPU. The CPU says which of them go on and where each one stands, then several steps follow
 * each other in one submit, and only their tokens come back. A model's decoders share its workspace: one at a time.
 */
export class Decoder {
  readonly #cache: Tensor[];
  /** End of the residual stream of the prompts' last tokens, f32 (B, C), until the first step has used it. */
  #prefilled: Tensor | undefined;

  readonly #readback: Readback;

  /** Computes the prompts. */
  constructor(readonly model: Model, batch: SequenceBatch, readonly sampling: SamplingOptions) {
    this.#readback = new Readback(model.gpu, 4 * batch.sequences.length * MOST_STEPS);
    this.#cache = kvCache(model, batch.rows);
    const { weights, runtime } = model;
    const shape = [batch.sequences.length, weights.config.hiddenSize];
    this.#prefilled = runtime.workspace.get("decode prefilled", "f32", shape);
    prefill(model, this.#cache, this.#prefilled, batch.sequences);
  }

  /**
   * Draws the next tokens.
   *
   * @param sequences Those to continue; the first time all of them.
   * @param steps At most {@link MOST_STEPS}.
   * @returns Tokens, (B, steps).
   */
  async next(sequences: readonly Sequence[], steps: number): Promise<Uint32Array> {
    const { gpu, runtime, weights } = this.model;
    const { tokens, seen, settings, ...places } = this.#write(sequences);
    const history = runtime.workspace.get("decode history", "u32", [sequences.length, steps]);
    const commands = new Commands(gpu);
    for (let step = 0; step < steps; step++) {
      const y = this.#prefilled ??
        decodeForward(commands, this.model, this.#cache, tokens, places);
      this.#prefilled = undefined;
      const logits = decodeHead(commands, this.model, y);
      const { vocabSize } = weights.config;
      sample(commands, tokens, logits, vocabSize, seen, settings, places.positions);
      decodeAdvance(commands, history, tokens, places, step);
    }
    let newest = new Uint32Array();
    this.#readback.record(commands, history, (data) => newest = new Uint32Array(data));
    commands.submit();
    await this.#readback.fetch();
    return newest;
  }

  /** The distribution that the newest token of sequence `b` of those continued last was drawn from (V). */
  async probabilities(b: number): Promise<Float32Array> {
    const { gpu, runtime, weights } = this.model;
    const { vocabSize } = weights.config;
    const stride = paddedColumns(vocabSize);
    const logits = runtime.workspace.get("decode logits", "f32", [b + 1, stride]);
    return (await readTensor(gpu, logits)).slice(b * stride, b * stride + vocabSize);
  }

  /** Puts where the sequences stand on the GPU: at the newest token of each. */
  #write(sequences: readonly Sequence[]) {
    const { gpu, runtime, weights } = this.model;
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
      positions: put("positions", all((_, length) => [length - 1])),
      cacheRows: put("cache rows", all(({ firstRow }, length) => [firstRow + length - 1])),
      lengths: put("lengths", all(({ firstRow }, length) => [firstRow, length])),
      seen: put(
        "seen",
        seenTokens(
          sequences.map(({ prompt, ids }) => [...prompt, ...ids]),
          weights.config.vocabSize,
        ),
      ),
      settings: put(
        "settings",
        samplingSettings(sequences.map(({ index }) => ({ ...this.sampling, sequence: index }))),
      ),
    };
  }
}
