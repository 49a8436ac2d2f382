// This module is browser compatible.
import { UserError } from "../../errors.ts";
import type { Component } from "./component.ts";
import { type TokenModel, vocabularyOf } from "./vocabulary.ts";

/** A token per piece. */
export class WordLevel implements TokenModel {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #unknown: string;

  constructor(component: Component) {
    this.vocabulary = vocabularyOf(component);
    this.#unknown = component.text("unk_token", "<unk>");
  }

  encode(piece: string): number[] {
    return [this.vocabulary.get(piece) ?? unknownId(this.vocabulary, this.#unknown)];
  }
}

/** The longest token that a piece begins with, then the longest that the rest continues with (Schuster and Nakajima 2012). */
export class WordPiece implements TokenModel {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #unknown: string;
  readonly #prefix: string;
  readonly #longest: number;

  constructor(component: Component) {
    this.vocabulary = vocabularyOf(component);
    this.#unknown = component.text("unk_token", "[UNK]");
    this.#prefix = component.text("continuing_subword_prefix", "##");
    this.#longest = component.count("max_input_chars_per_word", 100);
  }

  encode(piece: string): number[] {
    const characters = [...piece];
    const unknown = () => [unknownId(this.vocabulary, this.#unknown)];
    if (characters.length > this.#longest) return unknown();
    const ids: number[] = [];
    for (let start = 0; start < characters.length;) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start; end--) {
        const text = (start > 0 ? this.#prefix : "") + characters.slice(start, end).join("");
        id = this.vocabulary.get(text);
        if (id !== undefined) break;
      }
      if (id === undefined) return unknown();
      ids.push(id);
      start = end;
    }
    return ids;
  }
}

function unknownId(vocabulary: ReadonlyMap<string, number>, token: string): number {
  const id = vocabulary.get(token);
  if (id !== undefined) return id;
  throw new UserError(
    `Expected unk_token ${
      JSON.stringify(token)
    } in the tokenizer's vocabulary for a text with unknown words, found none`,
  );
}
