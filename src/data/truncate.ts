// This module is browser compatible.

/** A prompt and its completion as the model sees them. */
export interface TokenSequence {
  /** Prompt, then completion. */
  ids: Uint32Array<ArrayBuffer>;
  /** How many of `ids` are the prompt; at least 1, since nothing predicts the first token. */
  promptLength: number;
}

/** What to cut from sequences that are too long. */
export type Truncation = "keep_start" | "keep_end" | "prompt_first" | "proportional" | "drop";

/**
 * Cuts the completions of one prompt to at most `maxLengthTokens` (at least 2) each, prompt included. If all fit,
 * nothing is changed; otherwise:
 *
 * - `keep_start` keeps the first tokens of each, so completions lose their end (TRL's default);
 * - `keep_end` keeps the last tokens of each, so prompts lose their beginning;
 * - `prompt_first` cuts the prompt to its last `maxLengthTokens / 2` tokens, then completions to what is left (the
 *   DPO authors' code, arXiv:2305.18290, at its default proportion);
 * - `proportional` gives prompt and completions a share as large as their lengths', unless one fits into half, and
 *   keeps the beginning of both (LLaMA-Factory's rule);
 * - `drop` gives up the row.
 *
 * Where the prompt is cut, completions of one prompt keep the same part of it, except under `keep_end`.
 *
 * @returns null if the row is given up.
 */
export function truncate(
  sequences: readonly TokenSequence[],
  maxLengthTokens: number,
  policy: Truncation,
): TokenSequence[] | null {
  if (sequences.every(({ ids }) => ids.length <= maxLengthTokens)) return [...sequences];
  switch (policy) {
    case "drop":
      return null;
    case "keep_start":
      return sequences.map(({ ids, promptLength }) => ({
        ids: ids.slice(0, maxLengthTokens),
        promptLength: Math.min(promptLength, maxLengthTokens),
      }));
    case "keep_end":
      return sequences.map(({ ids, promptLength }) => ({
        ids: ids.slice(-maxLengthTokens),
        promptLength: Math.max(1, promptLength - Math.max(0, ids.length - maxLengthTokens)),
      }));
    case "prompt_first":
      return sequences.map(({ ids, promptLength }) => {
        const kept = Math.min(promptLength, Math.floor(maxLengthTokens / 2));
        const end = promptLength - kept + maxLengthTokens;
        return { ids: ids.slice(promptLength - kept, end), promptLength: kept };
      });
    case "proportional":
      return truncateProportionally(sequences, maxLengthTokens);
  }
}

function truncateProportionally(
  sequences: readonly TokenSequence[],
  maxLengthTokens: number,
): TokenSequence[] {
  const prompt = Math.max(...sequences.map(({ promptLength }) => promptLength));
  const completion = Math.max(
    ...sequences.map(({ ids, promptLength }) => ids.length - promptLength),
  );
  let completionShare = Math.floor(maxLengthTokens * completion / (prompt + completion));
  if (2 * completion < maxLengthTokens) completionShare = completion;
  else if (2 * prompt < maxLengthTokens) completionShare = maxLengthTokens - prompt;
  completionShare = Math.min(Math.max(completionShare, 1), maxLengthTokens - 1);
  const promptShare = maxLengthTokens - completionShare;
  return sequences.map(({ ids, promptLength }) => {
    const kept = Math.min(promptLength, promptShare);
    const tail = ids.subarray(promptLength, promptLength + completionShare);
    const result = new Uint32Array(kept + tail.length);
    result.set(ids.subarray(0, kept));
    result.set(tail, kept);
    return { ids: result, promptLength: kept };
  });
}
