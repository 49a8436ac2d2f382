// This module is browser compatible.
import { UserError } from "../../errors.ts";
import type { Component } from "./component.ts";
import { Trie } from "./trie.ts";
import { byteTokens, type TokenModel } from "./vocabulary.ts";

/** How much less likely than the rarest token an unknown character is, as in SentencePiece. */
const UNKNOWN_PENALTY = 10;

/** The best way to the end of the first characters of a piece. */
interface Step {
  start: number;
  id: number;
  score: number;
}

/** The most likely segmentation (Kudo 2018), as Hugging Face's tokenizers find it. */
export class Unigram implements TokenModel {
  readonly vocabulary = new Map<string, number>();
  readonly #scores: number[] = [];
  readonly #trie = new Trie();
  readonly #unknown: number | null;
  readonly #unknownScore: number;
  readonly #fallback: boolean;

  constructor(component: Component) {
    for (const [id, entry] of component.list("vocab").entries()) {
      const [token, score] = Array.isArray(entry) ? entry : [];
      if (typeof token !== "string" || typeof score !== "number") {
        component.refuse("vocab", "a list of tokens with their scores");
      }
      this.vocabulary.set(token, id);
      this.#scores.push(score);
      if (token !== "") this.#trie.add([...token], id);
    }
    const named = component.json.unk_id != null;
    const unknown = component.count("unk_id", 0);
    if (named && unknown >= this.#scores.length) component.refuse("unk_id", "in the vocabulary");
    this.#unknown = named ? unknown : null;
    this.#unknownScore = this.#scores.reduce((a, b) => Math.min(a, b), Infinity) - UNKNOWN_PENALTY;
    this.#fallback = component.flag("byte_fallback", false);
  }

  encode(piece: string): number[] {
    const characters = [...piece];
    const steps = this.#steps(characters);
    // Backwards; unknown neighbours become one.
    const found: { start: number; end: number; id: number }[] = [];
    for (let end = characters.length; end > 0;) {
      const { start, id } = steps[end]!;
      const last = found.at(-1);
      if (id === this.#unknown && last?.id === id) last.start = start;
      else found.push({ start, end, id });
      end = start;
    }
    return found.reverse().flatMap(({ start, end, id }) => {
      if (id !== this.#unknown) return id;
      const text = characters.slice(start, end).join("");
      return this.vocabulary.get(text) ??
        (this.#fallback ? byteTokens(text, this.vocabulary) : null) ?? id;
    });
  }

  #steps(characters: string[]): (Step | undefined)[] {
    const steps = new Array<Step | undefined>(characters.length + 1);
    const offer = (end: number, step: Step) => {
      const known = steps[end];
      if (known === undefined || step.score > known.score) steps[end] = step;
    };
    for (let start = 0; start < characters.length; start++) {
      const soFar = start === 0 ? 0 : steps[start]!.score;
      let hasSingle = false;
      for (const { end, id } of this.#trie.at(characters, start)) {
        offer(end, { start, id, score: this.#scores[id] + soFar });
        hasSingle ||= end === start + 1;
      }
      if (hasSingle) continue;
      offer(start + 1, { start, id: this.#known(), score: this.#unknownScore + soFar });
    }
    return steps;
  }

  #known(): number {
    if (this.#unknown !== null) return this.#unknown;
    throw new UserError(
      "Expected a tokenizer with unk_id for a text with unknown characters, found none",
    );
  }
}
