// This module is browser compatible.

import { type EncodedExample, type EncodeOptions, encodeRow } from "./encode.ts";
import type { Example } from "./examples.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";

/** Encodes examples, perhaps several portions at a time and elsewhere; see `src/platform/encoder_pool.ts`. */
export interface Encoder {
  /** Portions that are worth having under way at a time. */
  readonly portionsAhead: number;
  /**
   * @returns One encoded example per example; null if the caller is to encode them, and to meet the error if one of them
   * cannot be encoded.
   */
  encode(examples: readonly Example[]): Promise<EncodedExample[] | null>;
}

/** Examples that are encoded as one portion. */
const PORTION = 256;

/**
 * Encodes examples in their order, reading ahead as far as the encoder can work, if there is one. What goes wrong while
 * reading or encoding is thrown where it stands in the order, as if there were no reading ahead.
 */
export async function* encodeAhead<T extends { example: Example; where: string }>(
  items: AsyncGenerator<T>,
  encoder: Encoder | undefined,
  tokenizer: TextTokenizer | null,
  options: EncodeOptions,
): AsyncGenerator<T & { encoded: EncodedExample }> {
  if (encoder === undefined) {
    for await (const item of items) {
      yield { ...item, encoded: encodeRow(item, tokenizer, options) };
    }
    return;
  }
  const underWay: Promise<Portion<T>>[] = [];
  let ended = false;
  const read = async (): Promise<Portion<T>> => {
    const portion: Portion<T> = { items: [], encoded: null, failure: null };
    try {
      while (portion.items.length < PORTION) {
        const { done, value } = await items.next();
        if (done) {
          ended = true;
          break;
        }
        portion.items.push(value);
      }
    } catch (error) {
      ended = true;
      portion.failure = { error };
    }
    return portion;
  };
  try {
    while (!ended || underWay.length > 0) {
      while (!ended && underWay.length < encoder.portionsAhead) {
        const portion = await read();
        underWay.push(
          encoder.encode(portion.items.map(({ example }) => example))
            .then((encoded) => ({ ...portion, encoded })),
        );
      }
      const { items: done, encoded, failure } = await underWay.shift()!;
      for (const [i, item] of done.entries()) {
        yield { ...item, encoded: encoded?.[i] ?? encodeRow(item, tokenizer, options) };
      }
      if (failure) throw failure.error;
    }
  } finally {
    await items.return(undefined);
  }
}

interface Portion<T> {
  items: T[];
  encoded: EncodedExample[] | null;
  failure: { error: unknown } | null;
}
