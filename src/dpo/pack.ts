// This module is browser compatible.
import { divide } from "../data/divide.ts";
import { sharedLength } from "../data/shared_length.ts";
import type { Options } from "../config/resolve.ts";
import type { PreferencePair, TokenSequence } from "../data/pairs.ts";
import {
  packBatch,
  type PackedBatch,
  type ScoredPosition,
  type SequenceRange,
  type Tree,
} from "../model/batch.ts";

/** How token log-probabilities make up the score of a sequence. */
export interface ScoreOptions {
  /** The completion's tokens, or all but the first one, which nothing predicts. */
  scope: "completion" | "all";
  reduction: "sum" | "mean";
  /**
   * LD-DPO (Liu et al. 2024, arXiv:2409.06411, eq. 8): what a token of the longer answer weighs that comes after as many as the
   * shorter one has. Default 1.
   */
  ldAlpha?: number;
  /** Whether to tell how likely the policy finds each answer, for weights by it. */
  confidence?: boolean;
}

/** How the options of a command want sequences to be scored. */
export function scoreOptionsOf(
  { score, logprob, ldAlpha }: Pick<Options<"eval">, "score" | "logprob" | "ldAlpha">,
): ScoreOptions {
  return { scope: score, reduction: logprob, ...ldAlpha !== null && { ldAlpha } };
}

/** Options of packing that change the work but not the result. */
export interface PackOptions extends ScoreOptions {
  /** Rows that the head computes together at most; see headChunkRows. */
  chunkRows: number;
  /**
   * The loss is across pairs: all form one group, so that it is known before any derivative. The logits of a group of more rows
   * than a chunk are computed twice.
   */
  acrossPairs?: boolean;
  /** Compute what chosen and rejected begin with in common once. Default true; false is there to be compared with. */
  sharePrefix?: boolean;
}

/** A sequence as rows of the packed batch: its first `shared` tokens lie at `prefixRow`, the others at `branchRow`. */
interface Placement {
  prefixRow: number;
  branchRow: number;
  shared: number;
}

/**
 * Packs preference pairs as trees: the longest common beginning of chosen and rejected once, then both continuations. Exact
 * under causal attention (Wang & Hegde 2024, arXiv:2410.20305). Sequences are in the order chosen 0, rejected 0, chosen 1, ...
 */
export function packPairs(pairs: readonly PreferencePair[], options: PackOptions): PackedBatch {
  const trees: Tree[] = [];
  const scored: ScoredPosition[] = [];
  const ranges: SequenceRange[] = [];
  const rowCounts: number[] = [];
  let row = 0;
  for (const { chosen, rejected } of pairs) {
    const shared = options.sharePrefix === false ? 0 : sharedLength(chosen.ids, rejected.ids);
    const pieces = [chosen, rejected].map(({ ids }) => ids.subarray(shared));
    const prefix = chosen.ids.subarray(0, shared);
    if (shared > 0 || options.sharePrefix !== false) trees.push({ prefix, branches: pieces });
    else for (const piece of pieces) trees.push({ prefix, branches: [piece] });
    const before = scored.length;
    let branchRow = row + shared;
    const shorter = Math.min(
      ...[chosen, rejected].map((sequence) => scoredTokens(sequence, options.scope)),
    );
    for (const sequence of [chosen, rejected]) {
      const placement = { prefixRow: row, branchRow, shared };
      const tail = { begin: shorter, weight: options.ldAlpha ?? 1 };
      addScored(scored, ranges, sequence, placement, options, { tail });
      branchRow += sequence.ids.length - shared;
    }
    row = branchRow;
    rowCounts.push(new Set(scored.slice(before).map((position) => position.row)).size);
  }
  const groups = options.acrossPairs ? [ranges.length] : groupRows(rowCounts, 2, options.chunkRows);
  return { ...packBatch(trees, scored, ranges, groups), confidence: options.confidence };
}

/** Packs single sequences, for next-token training: each one's weights are `weight` per scored token. */
export function packSequences(
  sequences: readonly TokenSequence[],
  { scope, weight, chunkRows }: {
    scope: ScoreOptions["scope"];
    weight: number;
    chunkRows: number;
  },
): PackedBatch {
  const scored: ScoredPosition[] = [];
  const ranges: SequenceRange[] = [];
  const rowCounts: number[] = [];
  let row = 0;
  for (const sequence of sequences) {
    const before = scored.length;
    const placement = { prefixRow: row, branchRow: row, shared: 0 };
    addScored(scored, ranges, sequence, placement, { scope, reduction: "sum" }, { weight });
    row += sequence.ids.length;
    rowCounts.push(scored.length - before);
  }
  const trees = sequences.map(({ ids }) => ({ prefix: [], branches: [ids] }));
  return packBatch(trees, scored, ranges, groupRows(rowCounts, 1, chunkRows));
}

/** Tokens whose log-probability counts. */
export function scoredTokens({ ids, promptLength }: TokenSequence, scope: ScoreOptions["scope"]) {
  return ids.length - (scope === "all" ? 1 : Math.max(1, promptLength));
}

/** What turns a mean of chosen scores into one over all their scored tokens: their mean number, or 1 where scores are means. */
export function meanChosenTokens(
  pairs: readonly PreferencePair[],
  { scope, reduction }: ScoreOptions,
): number {
  if (reduction === "mean") return 1;
  const tokens = pairs.reduce((sum, { chosen }) => sum + scoredTokens(chosen, scope), 0);
  return Math.max(1, tokens) / pairs.length;
}

/** Tokens of a pair packed as a tree, the common beginning counted once. */
export function treeTokens({ chosen, rejected }: PreferencePair): number {
  return chosen.ids.length + rejected.ids.length - sharedLength(chosen.ids, rejected.ids);
}

/** What a token weighs in a sum, and what those weigh beside it that come after the first `begin`. */
interface TokenWeights {
  weight?: number;
  tail?: { begin: number; weight: number };
}

function addScored(
  scored: ScoredPosition[],
  ranges: SequenceRange[],
  sequence: TokenSequence,
  { prefixRow, branchRow, shared }: Placement,
  { scope, reduction }: ScoreOptions,
  { weight: tokenWeight = 1, tail }: TokenWeights,
): void {
  const { ids } = sequence;
  const promptLength = Math.max(1, sequence.promptLength);
  const first = scope === "all" ? 1 : promptLength;
  const count = ids.length - first;
  const weight = reduction === "mean" ? tokenWeight / Math.max(1, count) : tokenWeight;
  const begin = scored.length;
  for (let position = first; position < ids.length; position++) {
    const before = position - 1; // the row that predicts this token
    scored.push({
      row: before < shared ? prefixRow + before : branchRow + before - shared,
      target: ids[position],
      sequence: ranges.length,
      weight: tail && position - first >= tail.begin ? tail.weight * weight : weight,
    });
  }
  const completion = begin + Math.max(0, promptLength - first);
  ranges.push({ begin, completion, end: scored.length, slot: ranges.length });
}

/**
 * Sizes, in sequences, of consecutive groups whose rows fit a chunk. `rowCounts` are the rows of units of `sequences` that stay
 * together: pairs have two. A unit too large for a chunk stands alone.
 */
function groupRows(rowCounts: readonly number[], sequences: number, chunkRows: number): number[] {
  const limits = { rows: Infinity, tokens: chunkRows };
  return divide(rowCounts, (count) => count, limits).map(({ length }) => length * sequences);
}
