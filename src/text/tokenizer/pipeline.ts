// This module is browser compatible.

/**
 * What `tokenizer.json` describes, in the order of Hugging Face's tokenizers: added tokens are found in the text, what is
 * between is normalized, cut into pieces, and turned into tokens by the model. `@huggingface/tokenizers` 0.2.0, the
 * library in JavaScript, leaves out much of it without a word, so only its regular expressions are used; each part here
 * takes what is known to give the original's ids and refuses all else by its name.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { describe, isObject } from "../../formats/json.ts";
import { type AddedToken, AddedTokens } from "./added_tokens.ts";
import { Component } from "./component.ts";
import { type Decoder, decoderOf } from "./decoders.ts";
import { type Normalizer, normalizerOf, type Piece } from "./normalizers.ts";
import { type PreTokenizer, preTokenizerOf } from "./pre_tokenizers.ts";
import { tokenModelOf } from "./token_model.ts";
import type { TokenModel } from "./vocabulary.ts";

/** Parts of `tokenizer.json`; padding and truncation are not this program's way. */
const PARTS = [
  ...["version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer"],
  ...["post_processor", "decoder", "model"],
];

export class TokenPipeline {
  readonly model: TokenModel;
  readonly added: AddedTokens;
  readonly #normalizer: Normalizer | null;
  readonly #preTokenizer: PreTokenizer | null;
  readonly #decoder: Decoder | null;
  readonly #tokens = new Map<number, string>();
  readonly #findRaw: ReturnType<AddedTokens["finder"]>;
  readonly #findNormalized: ReturnType<AddedTokens["finder"]>;

  /**
   * @param definition The content of `tokenizer.json`.
   * @param file How messages call the file.
   * @param more Tokens that other files add.
   * @param splitSpecials Whether special tokens in a text count as text.
   * @throws {UserError} If the file is malformed or has something that is not known to be right.
   */
  constructor(
    definition: Record<string, unknown>,
    file: string,
    more: readonly AddedToken[] = [],
    splitSpecials = false,
  ) {
    const part = (name: string) => {
      const value = definition[name] ?? null;
      if (value === null) return null;
      if (isObject(value)) return new Component(value, file, name);
      throw new UserError(
        `Cannot use ${file}: expected ${name} to be an object, found ${describe(value)}`,
      );
    };
    const unknown = Object.keys(definition).find((name) => !PARTS.includes(name));
    if (unknown !== undefined) {
      throw new UserError(
        `Cannot use ${file}: expected a tokenizer of Hugging Face's tokenizers with ${
          PARTS.join(", ")
        }, found "${unknown}"`,
      );
    }
    const model = part("model");
    if (model === null) {
      throw new UserError(
        `Cannot use ${file}: expected a tokenizer of Hugging Face's tokenizers with a model, found none`,
      );
    }
    this.model = tokenModelOf(model);
    const normalizer = part("normalizer");
    this.#normalizer = normalizer && normalizerOf(normalizer);
    const preTokenizer = part("pre_tokenizer");
    this.#preTokenizer = preTokenizer && preTokenizerOf(preTokenizer, true);
    const decoder = part("decoder");
    this.#decoder = decoder && decoderOf(decoder);

    this.added = new AddedTokens(this.model.vocabulary);
    // Ids that the file names do not count: the original gives its own.
    this.added.add(addedTokensOf(definition.added_tokens, file));
    this.added.add(more);
    this.#findRaw = this.added.finder(false, null, splitSpecials, file);
    this.#findNormalized = this.added.finder(true, this.#normalizer, splitSpecials, file);
    for (const [token, id] of this.model.vocabulary) this.#tokens.set(id, token);
    for (const [token, id] of this.added.ids) this.#tokens.set(id, token);
  }

  /** Token ids of a text, without those that a post-processor adds. */
  encode(text: string): number[] {
    // The original takes no halves of characters; here they count as U+FFFD, as everywhere on the web.
    const whole = text.toWellFormed();
    return this.#findRaw(whole).flatMap(({ start, end, id }) =>
      id ?? this.#encodeSection({ text: whole.slice(start, end), isFirst: start === 0 })
    );
  }

  #encodeSection(section: Piece): number[] {
    const { text, isFirst } = this.#normalizer ? this.#normalizer(section) : section;
    return this.#findNormalized(text).flatMap(({ start, end, id }) => {
      if (id !== null || start === end) return id ?? [];
      const pieces = [{ text: text.slice(start, end), isFirst: isFirst && start === 0 }];
      return (this.#preTokenizer ? this.#preTokenizer(pieces) : pieces)
        .flatMap((piece) => this.model.encode(piece.text));
    });
  }

  /** The text of tokens; ids that are none are left out. */
  decode(ids: ArrayLike<number>): string {
    const tokens = Array.from(ids, (id) => this.#tokens.get(id))
      .filter((token) => token !== undefined);
    return this.#decoder ? this.#decoder(tokens).join("") : tokens.join(" ");
  }

  token(id: number): string | undefined {
    return this.#tokens.get(id);
  }

  id(token: string): number | undefined {
    return this.added.ids.get(token) ?? this.model.vocabulary.get(token);
  }

  /** One more than the largest id. */
  get size(): number {
    let largest = -1;
    for (const id of this.#tokens.keys()) largest = Math.max(largest, id);
    return largest + 1;
  }
}

function addedTokensOf(list: unknown, file: string): AddedToken[] {
  const refuse = (found: unknown): never => {
    throw new UserError(
      `Cannot use ${file}: expected "added_tokens" to be a list of tokens with their content, found ${
        describe(found)
      }`,
    );
  };
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) return refuse(list);
  return list.map((json, i) => {
    if (!isObject(json) || typeof json.content !== "string") return refuse(json);
    return addedTokenOf(new Component(json, file, `added_tokens[${i}]`), false);
  });
}

/** @param special Whether the token is special where it does not say. */
export function addedTokenOf(component: Component, special: boolean): AddedToken {
  component.ignore("id", "__type", "normalized");
  special = component.flag("special", special);
  const token = {
    content: component.text("content"),
    singleWord: component.flag("single_word", false),
    lstrip: component.flag("lstrip", false),
    rstrip: component.flag("rstrip", false),
    normalized: component.json.normalized == null ? null : component.flag("normalized"),
    special,
  };
  component.end();
  return token;
}
