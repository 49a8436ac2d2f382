// This module is browser compatible.
import type { PreferencePair, TokenSequence } from "../data/pairs.ts";
import { noise } from "./bench_tensors.ts";

/** Tokens of a text of HH-RLHF harmless-base with SmolLM's tokenizer: share of texts up to a length, and the length. */
const HH_LENGTHS = [
  [0, 15],
  [0.05, 33],
  [0.25, 73],
  [0.5, 137],
  [0.75, 230],
  [0.9, 346],
  [0.95, 431],
  [1, 512],
];
/** What the prompt, the same on both sides, makes up of a text there. */
const PROMPT_SHARE = 0.72;

/**
 * Pairs of random tokens with the lengths of HH-RLHF: a batch that is typical in what padding and repeated prompts cost,
 * the same every time.
 */
export function hhLikePairs(count: number, vocabSize: number): PreferencePair[] {
  const next = noise(count);
  return Array.from({ length: count }, (_, index) => {
    const length = quantile((index + 0.5) / count);
    const prompt = Math.round(length * PROMPT_SHARE);
    const completion = length - prompt;
    const more = Math.round(completion * 0.3 * next());
    return pairOf(index, prompt, completion + more, completion - more, vocabSize);
  });
}

/** Pairs of two texts of `length` tokens each, whose first `prompt` tokens are the same. */
export function equalPairs(
  count: number,
  length: number,
  prompt: number,
  vocabSize: number,
): PreferencePair[] {
  const rest = length - prompt;
  return Array.from(
    { length: count },
    (_, index) => pairOf(index, prompt, rest, rest, vocabSize),
  );
}

/** The same pairs, every text filled up to the longest one's length, as batches without packing are. */
export function padded(pairs: readonly PreferencePair[]): PreferencePair[] {
  const length = Math.max(...pairs.flatMap(({ chosen, rejected }) => [
    chosen.ids.length,
    rejected.ids.length,
  ]));
  const fill = ({ ids, promptLength }: TokenSequence): TokenSequence => {
    const longer = new Uint32Array(length);
    longer.set(ids);
    return { ids: longer, promptLength };
  };
  return pairs.map(({ index, chosen, rejected }) => ({
    index,
    chosen: fill(chosen),
    rejected: fill(rejected),
  }));
}

function quantile(share: number): number {
  const end = HH_LENGTHS.findIndex(([upTo]) => upTo >= share);
  const [[shareBefore, before], [shareAfter, after]] = HH_LENGTHS.slice(end - 1);
  return Math.round(
    before + (after - before) * (share - shareBefore) / (shareAfter - shareBefore),
  );
}

function pairOf(
  index: number,
  prompt: number,
  chosen: number,
  rejected: number,
  vocabSize: number,
): PreferencePair {
  const next = noise(index + 1);
  // The upper bits: a congruential generator's lower ones repeat soon.
  const token = () => Math.floor((next() + 1) / 2 * (vocabSize - 2));
  const shared = Array.from({ length: prompt }, token);
  const side = (first: number, length: number): TokenSequence => {
    const completion = Array.from({ length: length - 1 }, token);
    return { ids: Uint32Array.of(...shared, first, ...completion), promptLength: prompt };
  };
  // Different first tokens, for the branches are to part right after the prompt.
  return {
    index,
    chosen: side(vocabSize - 1, chosen),
    rejected: side(vocabSize - 2, rejected),
  };
}
