/**
 * Encodes text on all cores: workers with a tokenizer each.
 *
 * @module
 */

import type { EncodedExample, EncodeOptions } from "../data/encode.ts";
import type { Encoder } from "../data/encoder.ts";
import type { Example } from "../data/examples.ts";

/** What a worker gets: first where its tokenizer is, then portions of examples. */
export type EncoderMessage =
  | { directory: string; options: EncodeOptions }
  | { examples: readonly Example[] };

/** Portions that wait at each worker, so that none is idle between two. */
const PORTIONS_PER_WORKER = 2;

/** Portions that the caller encodes before workers are started, which takes them as long. */
const PORTIONS_BEFORE = 8;

type Answer = EncodedExample[] | null;

/** Workers that start when a dataset turns out to be large. */
export class EncoderPool implements Encoder, Disposable {
  readonly portionsAhead: number;
  #portions = 0;
  #failed = false;
  #workers: { worker: Worker; waiting: ((answer: Answer) => void)[] }[] = [];

  /**
   * @param count Workers.
   * @param directory The model directory with the tokenizer.
   */
  constructor(readonly count: number, readonly directory: string, readonly options: EncodeOptions) {
    this.portionsAhead = PORTIONS_PER_WORKER * count;
  }

  encode(examples: readonly Example[]): Promise<Answer> {
    if (this.#failed || this.#portions++ < PORTIONS_BEFORE) return Promise.resolve(null);
    if (this.#workers.length === 0) this.#start();
    const { worker, waiting } = this.#workers.reduce((least, other) =>
      other.waiting.length < least.waiting.length ? other : least
    );
    const { promise, resolve } = Promise.withResolvers<Answer>();
    waiting.push(resolve);
    worker.postMessage({ examples } satisfies EncoderMessage);
    return promise;
  }

  [Symbol.dispose](): void {
    for (const { worker } of this.#workers) worker.terminate();
  }

  #start(): void {
    const { directory, options } = this;
    this.#workers = Array.from({ length: this.count }, () => {
      const worker = new Worker(new URL("./encoder_worker.ts", import.meta.url), {
        type: "module",
      });
      const waiting: ((answer: Answer) => void)[] = [];
      worker.onmessage = ({ data }) => waiting.shift()!(data);
      worker.onerror = (event) => {
        event.preventDefault();
        this.#failed = true;
        for (const resolve of waiting.splice(0)) resolve(null);
      };
      worker.postMessage({ directory, options } satisfies EncoderMessage);
      return { worker, waiting };
    });
  }
}
