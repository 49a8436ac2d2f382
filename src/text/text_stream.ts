// This module is browser compatible.

import type { TextTokenizer } from "./tokenizer.ts";

/**
 * Turns tokens into text as they come. A character may be spread over several tokens: it comes out whole, with the last of
 * them. All pieces together are what decoding all tokens at once gives.
 */
export class TextStream {
  readonly #tokenizer: Pick<TextTokenizer, "decode">;
  /** The last tokens whose text is out, for decoders that look at what is before, and those that wait. */
  #ids: number[] = [];
  /** How many of them are out. */
  #done = 0;

  constructor(tokenizer: Pick<TextTokenizer, "decode">) {
    this.#tokenizer = tokenizer;
  }

  /** @returns The text that is complete with this token, often "". */
  push(id: number): string {
    this.#ids.push(id);
    const text = this.end();
    if (text === "" || text.endsWith("\ufffd")) return "";
    this.#ids = this.#ids.slice(this.#done);
    this.#done = this.#ids.length;
    return text;
  }

  /** @returns What still waits after the last token: an incomplete character. */
  end(): string {
    const { decode } = this.#tokenizer;
    return decode(this.#ids).slice(decode(this.#ids.slice(0, this.#done)).length);
  }
}
