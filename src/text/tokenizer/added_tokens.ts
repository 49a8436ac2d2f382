// This module is browser compatible.
import { UserError } from "../../errors.ts";
import type { Normalizer } from "./normalizers.ts";
import { SPACE, type Stretch, WORD } from "./patterns.ts";
import { Trie } from "./trie.ts";

/** A token that is looked for in the text itself, before anything else. */
export interface AddedToken {
  content: string;
  /** Whether it is found only where no word goes on before or behind it. */
  singleWord: boolean;
  /** Whether it takes the white space before it, and behind it. */
  lstrip: boolean;
  rstrip: boolean;
  /** Whether it is found in the normalized text, instead of the text as it is; null: unless it is special. */
  normalized: boolean | null;
  /** Whether it marks something and is no part of a text. */
  special: boolean;
}

/** A stretch of a text: an added token, or what is between two. */
interface Found extends Omit<Stretch, "matched"> {
  id: number | null;
}

const IN_WORD = new RegExp(`^[${WORD}]`, "u");
const SPACE_BEFORE = new RegExp(`${SPACE}*$`, "u");
const SPACE_BEHIND = new RegExp(`^${SPACE}*`, "u");

/** An added token of which it is settled whether it is found in the normalized text. */
type Settled = AddedToken & { normalized: boolean };

/** The added tokens of a tokenizer, with the ids that Hugging Face's tokenizers give them. */
export class AddedTokens {
  readonly ids = new Map<string, number>();
  readonly #byId = new Map<number, Settled>();
  /** What is looked for: special tokens as they were first added, then each version of the others. */
  readonly #specials: Settled[] = [];
  readonly #others: Settled[] = [];

  /** @param vocabulary Of the model; tokens that it has keep their ids. */
  constructor(readonly vocabulary: ReadonlyMap<string, number>) {}

  /** Adds tokens, or gives those that are there other properties. */
  add(tokens: readonly AddedToken[]): void {
    const settled = tokens
      .filter(({ content }) => content !== "")
      .map((token) => ({ ...token, normalized: token.normalized ?? !token.special }));
    const isSpecial = (content: string) =>
      this.#specials.some((special) => special.content === content);
    for (const token of settled) {
      if (token.special && !isSpecial(token.content)) this.#specials.push(token);
    }
    for (const token of settled) {
      const { content } = token;
      const known = this.ids.get(content) ?? this.vocabulary.get(content);
      const id = known ?? this.#nextId();
      if (areEqual(this.#byId.get(id), token)) continue;
      this.ids.set(content, id);
      this.#byId.set(id, token);
      if (!isSpecial(content)) this.#others.push(token);
    }
  }

  #nextId(): number {
    return [...this.ids.values()].reduce(
      (next, id) => Math.max(next, id + 1),
      this.vocabulary.size,
    );
  }

  get specialIds(): Set<number> {
    return new Set([...this.#byId].filter(([, { special }]) => special).map(([id]) => id));
  }

  content(id: number): string | undefined {
    return this.#byId.get(id)?.content;
  }

  /**
   * Finds the tokens that are looked for in the normalized text, or the others.
   *
   * @param normalizer What normalizes these tokens too.
   * @param splitSpecials Whether special tokens count as text.
   * @param file How messages call the tokenizer's file.
   * @throws {UserError} If normalizing leaves nothing of a token, or makes two the same, one of which the original takes.
   */
  finder(
    normalized: boolean,
    normalizer: Normalizer | null,
    splitSpecials: boolean,
    file: string,
  ): (text: string) => Found[] {
    const trie = new Trie();
    const contents = new Map([["", ""]]);
    for (const token of [...this.#specials, ...this.#others]) {
      if (token.normalized !== normalized) continue;
      const id = this.ids.get(token.content)!;
      const content = normalized && normalizer
        ? normalizer({ text: token.content, isFirst: true }).text
        : token.content;
      const twin = contents.get(content);
      if (twin === token.content) continue;
      if (twin !== undefined) {
        throw new UserError(
          `Cannot use ${file}: expected the normalizer to leave added tokens different, found that it makes ${
            JSON.stringify(token.content)
          } the same as ${JSON.stringify(twin)}: use a model with another tokenizer`,
        );
      }
      contents.set(content, token.content);
      trie.add(content, id);
    }
    const skips = (token: AddedToken) => splitSpecials && token.special;
    return (text) =>
      contents.size === 1
        ? [{ start: 0, end: text.length, id: null }]
        : this.#find(text, trie, skips);
  }

  #find(text: string, trie: Trie, skips: (token: AddedToken) => boolean): Found[] {
    const found: Found[] = [];
    let done = 0;
    for (let at = 0; at < text.length;) {
      let longest: { end: number; id: number } | undefined;
      for (const hit of trie.at(text, at)) longest = hit;
      if (longest === undefined) {
        at++;
        continue;
      }
      const { id, end: behind } = longest;
      let [start, end] = [at, behind];
      at = behind;
      const token = this.#byId.get(id)!;
      if (skips(token)) continue;
      if (token.singleWord && touchesWord(text, start, end)) continue;
      if (token.lstrip) {
        start = Math.max(done, SPACE_BEFORE.exec(text.slice(done, start))!.index + done);
      }
      if (token.rstrip) end += SPACE_BEHIND.exec(text.slice(end))![0].length;
      if (done < start) found.push({ start: done, end: start, id: null });
      found.push({ start, end, id });
      done = end;
    }
    if (done < text.length) found.push({ start: done, end: text.length, id: null });
    return found;
  }
}

function touchesWord(text: string, start: number, end: number): boolean {
  // No expression that ends with "$": V8 does not find characters beyond U+FFFF with those.
  const before = [...text.slice(Math.max(0, start - 2), start)].at(-1) ?? "";
  return IN_WORD.test(before) || IN_WORD.test(text.slice(end, end + 2));
}

function areEqual(a: Settled | undefined, b: Settled): boolean {
  return a !== undefined &&
    (Object.keys(b) as (keyof Settled)[]).every((property) => a[property] === b[property]);
}
