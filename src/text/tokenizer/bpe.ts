// This module is browser compatible.
import type { Component } from "./component.ts";
import { byteTokens, type TokenModel, vocabularyOf } from "./vocabulary.ts";

/** Two tokens as one key; ids have at most 26 bits. */
const PAIR = 2 ** 26;
/** A merge's rank and its place as one number: ranks first. Words have fewer than 2^27 characters. */
const PLACE = 2 ** 27;
const CACHED_WORDS = 10_000;
const CACHED_LENGTH = 256;

/** Byte-pair encoding (Sennrich et al. 2016), as Hugging Face's tokenizers do it. */
export class BPE implements TokenModel {
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Ranks of merges by pair, and what each gives. */
  readonly #ranks = new Map<number, number>();
  readonly #merged: number[] = [];
  readonly #unknown: number | null;
  readonly #fuse: boolean;
  readonly #fallback: boolean;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #ignoreMerges: boolean;
  readonly #cache = new Map<string, number[]>();

  constructor(component: Component) {
    this.vocabulary = vocabularyOf(component);
    const unknown = component.text("unk_token", "");
    const named = component.json.unk_token != null;
    if (named && !this.vocabulary.has(unknown)) {
      component.refuse("unk_token", "in the vocabulary");
    }
    this.#unknown = named ? this.vocabulary.get(unknown)! : null;
    this.#fuse = component.flag("fuse_unk", false);
    this.#fallback = component.flag("byte_fallback", false);
    this.#ignoreMerges = component.flag("ignore_merges", false);
    this.#prefix = component.text("continuing_subword_prefix", "");
    this.#suffix = component.text("end_of_word_suffix", "");
    if (component.json.dropout) component.refuse("dropout", "null or 0, so that ids do not vary");
    component.ignore("dropout");
    this.#readMerges(component);
  }

  #readMerges(component: Component): void {
    const refuse = () => component.refuse("merges", "pairs of tokens in the vocabulary");
    for (const [rank, merge] of component.list("merges").entries()) {
      const pair = typeof merge === "string" ? merge.split(" ") : merge;
      if (!Array.isArray(pair) || pair.length !== 2) refuse();
      const [left, right] = pair as [string, string];
      const ids = [left, right, left + right.slice(this.#prefix.length)]
        .map((token) => this.vocabulary.get(token));
      if (ids.includes(undefined)) refuse();
      const [a, b, merged] = ids as number[];
      this.#ranks.set(a * PAIR + b, rank);
      this.#merged[rank] = merged;
    }
  }

  encode(word: string): number[] {
    if (this.#ignoreMerges) {
      const whole = this.vocabulary.get(word);
      if (whole !== undefined) return [whole];
    }
    const known = this.#cache.get(word);
    if (known !== undefined) return known;
    const ids = this.#merge(this.#characters(word));
    if (word.length < CACHED_LENGTH) {
      if (this.#cache.size === CACHED_WORDS) this.#cache.clear();
      this.#cache.set(word, ids);
    }
    return ids;
  }

  /** The tokens of single characters. */
  #characters(word: string): number[] {
    const ids: number[] = [];
    const characters = [...word];
    const unknown = this.#unknown;
    /** Unknown characters that are not written yet. */
    let waiting = false;
    for (const [i, character] of characters.entries()) {
      const text = (i > 0 ? this.#prefix : "") + character +
        (i === characters.length - 1 ? this.#suffix : "");
      const id = this.vocabulary.get(text);
      if (id !== undefined) {
        if (waiting) ids.push(unknown!);
        waiting = false;
        ids.push(id);
        continue;
      }
      const bytes = this.#fallback ? byteTokens(text, this.vocabulary) : null;
      if (bytes !== null) ids.push(...bytes); // before unknown ones that wait, as in the original
      else if (unknown !== null) {
        if (waiting && !this.#fuse) ids.push(unknown);
        waiting = true;
      }
    }
    if (waiting) ids.push(unknown!);
    return ids;
  }

  /** Joins neighbours, those with the lowest rank first, of these the leftmost. */
  #merge(ids: number[]): number[] {
    const { length } = ids;
    if (length < 2) return ids;
    const next = Int32Array.from(ids, (_, i) => i + 1);
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const queue = new Queue();
    const offer = (at: number) => {
      if (at < 0 || next[at] >= length) return;
      const rank = this.#ranks.get(ids[at] * PAIR + ids[next[at]]);
      if (rank !== undefined) queue.push(rank * PLACE + at);
    };
    for (let i = 0; i < length - 1; i++) offer(i);
    for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
      const at = top % PLACE;
      const merged = this.#merged[Math.floor(top / PLACE)];
      const right = next[at];
      if (ids[at] < 0 || right >= length) continue;
      const rank = this.#ranks.get(ids[at] * PAIR + ids[right]);
      if (rank === undefined || this.#merged[rank] !== merged) continue; // one of them has changed
      ids[at] = merged;
      ids[right] = -1;
      next[at] = next[right];
      if (next[at] < length) previous[next[at]] = at;
      offer(previous[at]);
      offer(at);
    }
    return ids.filter((id) => id >= 0);
  }
}

/** Numbers, the smallest of which comes out first: a binary heap. */
class Queue {
  readonly #heap: number[] = [];

  push(value: number): void {
    const heap = this.#heap;
    let at = heap.push(value) - 1;
    while (at > 0) {
      const parent = at - 1 >> 1;
      if (heap[parent] <= value) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = value;
  }

  pop(): number | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const value = heap.pop();
    if (value === undefined || heap.length === 0) return top;
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= value) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = value;
    return top;
  }
}
