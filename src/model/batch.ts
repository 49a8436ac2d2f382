// This module is browser compatible.
import type { Gpu } from "../gpu/device.ts";
import { type Tensor, writeTensor } from "../gpu/tensor.ts";
import type { Workspace } from "../gpu/workspace.ts";
import { ATTENTION_TILE_ROWS } from "../kernels/attention.ts";
import { groupById, type RowsById } from "../kernels/embedding.ts";
import { NO_POSITION, type ScoredTensors } from "../kernels/logprob.ts";

/**
 * Tokens that share a prefix: the prefix, then branches that each continue it and do not see each other. A plain sequence is
 * a tree with an empty prefix and one branch.
 */
export interface Tree {
  prefix: ArrayLike<number>;
  branches: ArrayLike<number>[];
}

/**
 * A token to score: its log-probability after the packed row `row` counts with `weight` in the score of `sequence`.
 */
export interface ScoredPosition {
  row: number;
  target: number;
  sequence: number;
  weight: number;
}

/** The scored positions of one sequence, `begin .. end`, of which those from `completion` belong to the completion. */
export interface SequenceRange {
  begin: number;
  completion: number;
  end: number;
  /** Where its sums go. */
  slot: number;
}

/** Rows of the head that are computed together: whole groups of sequences, cut to chunks of `rowsPerChunk`. */
export interface HeadGroup {
  /** First entry in `rows`; a multiple of 64, so that slices of the row lists can be bound. */
  firstRow: number;
  rowCount: number;
  firstSequence: number;
  sequenceCount: number;
}

/** A batch as one ragged list of tokens, without padding, and what its loss reads. Made on the CPU. */
export interface PackedBatch {
  tokens: Uint32Array;
  positions: Uint32Array;
  queryTiles: Uint32Array;
  keyTiles: Uint32Array;
  /** Packed rows that the head is computed for; gaps between groups hold 0. */
  rows: Uint32Array;
  rowScored: Uint32Array;
  scored: Uint32Array;
  sequences: Uint32Array;
  groups: HeadGroup[];
  /** Rows by token, for the gradient of the embedding. */
  tokenRows: RowsById;
  /** Whether the head also tells how likely the model finds each completion; see sequenceConfidence. */
  confidence?: boolean;
}

const QUERY_TILE_WORDS = 8;
const KEY_TILE_WORDS = 4;
const ROW_ALIGNMENT = 64;

/**
 * Packs trees into one list of tokens with what attention needs to keep them apart.
 *
 * Query rows see the prefix and their own branch up to themselves; tiles never cross a segment, so the sums of a row come out
 * the same in any batch.
 */
export function packTokens(trees: readonly Tree[]): Pick<
  PackedBatch,
  "tokens" | "positions" | "queryTiles" | "keyTiles"
> {
  const tokens: number[] = [];
  const positions: number[] = [];
  const queryTiles: number[] = [];
  const keyTiles: number[] = [];
  const addSegment = (
    ids: ArrayLike<number>,
    firstPosition: number,
    prefix: [begin: number, end: number],
    queryEnd: number,
  ) => {
    const begin = tokens.length;
    for (let i = 0; i < ids.length; i++) {
      tokens.push(ids[i]);
      positions.push(firstPosition + i);
    }
    for (let row = begin; row < tokens.length; row += ATTENTION_TILE_ROWS) {
      const count = Math.min(ATTENTION_TILE_ROWS, tokens.length - row);
      queryTiles.push(row, count, ...prefix, begin, row, 0, 0);
      keyTiles.push(row, count, queryEnd, 0);
    }
  };
  for (const { prefix, branches } of trees) {
    const begin = tokens.length;
    const prefixEnd = begin + prefix.length;
    const end = branches.reduce((sum, branch) => sum + branch.length, prefixEnd);
    addSegment(prefix, 0, [begin, begin], end);
    for (const branch of branches) {
      addSegment(branch, prefix.length, [begin, prefixEnd], tokens.length + branch.length);
    }
  }
  return {
    tokens: Uint32Array.from(tokens),
    positions: Uint32Array.from(positions),
    queryTiles: Uint32Array.from(queryTiles),
    keyTiles: Uint32Array.from(keyTiles),
  };
}

/**
 * Lays out scored positions for the head: distinct rows per group, positions per row and per sequence.
 *
 * @param scored Sorted by sequence.
 * @param ranges Of the sequences, in order.
 * @param groupSizes How many consecutive sequences each group has; the sum is the number of sequences.
 */
export function packScored(
  scored: readonly ScoredPosition[],
  ranges: readonly SequenceRange[],
  groupSizes: readonly number[],
): Pick<PackedBatch, "rows" | "rowScored" | "scored" | "sequences" | "groups"> {
  const rows: number[] = [];
  const rowScored: number[] = [];
  const groups: HeadGroup[] = [];
  let firstSequence = 0;
  for (const sequenceCount of groupSizes) {
    while (rows.length % ROW_ALIGNMENT !== 0) {
      rows.push(0);
      rowScored.push(NO_POSITION, NO_POSITION);
    }
    const firstRow = rows.length;
    const indexOf = new Map<number, number>();
    const last = ranges[firstSequence + sequenceCount - 1];
    for (let position = ranges[firstSequence].begin; position < last.end; position++) {
      const { row } = scored[position];
      const index = indexOf.get(row);
      if (index === undefined) {
        indexOf.set(row, rows.length);
        rows.push(row);
        rowScored.push(position, NO_POSITION);
      } else rowScored[2 * index + 1] = position;
    }
    groups.push({ firstRow, rowCount: rows.length - firstRow, firstSequence, sequenceCount });
    firstSequence += sequenceCount;
  }
  const words = new Uint32Array(4 * scored.length);
  const floats = new Float32Array(words.buffer);
  for (const [i, { row, target, sequence, weight }] of scored.entries()) {
    words.set([row, target, sequence], 4 * i);
    floats[4 * i + 3] = weight;
  }
  return {
    rows: Uint32Array.from(rows),
    rowScored: Uint32Array.from(rowScored),
    scored: words,
    sequences: Uint32Array.from(
      ranges.flatMap(({ begin, completion, end, slot }) => [begin, completion, end, slot]),
    ),
    groups,
  };
}

/** A {@link PackedBatch} on the GPU. */
export interface GpuBatch extends ScoredTensors {
  tokens: Tensor;
  positions: Tensor;
  queryTiles: Tensor;
  keyTiles: Tensor;
  rows: Tensor;
  groups: HeadGroup[];
  tokenRows: RowsById<Tensor>;
  confidence?: boolean;
}

/** Writes a batch to the workspace; the tensors are valid until the next batch is written. */
export function uploadBatch(gpu: Gpu, workspace: Workspace, batch: PackedBatch): GpuBatch {
  const put = (name: string, data: Uint32Array, width?: number) => {
    const shape = width ? [data.length / width, width] : [data.length];
    const tensor = workspace.get(`batch ${name}`, "u32", shape);
    writeTensor(gpu, tensor, data);
    return tensor;
  };
  return {
    tokens: put("tokens", batch.tokens),
    positions: put("positions", batch.positions),
    queryTiles: put("query tiles", batch.queryTiles, QUERY_TILE_WORDS),
    keyTiles: put("key tiles", batch.keyTiles, KEY_TILE_WORDS),
    rows: put("rows", batch.rows),
    rowScored: put("row scored", batch.rowScored, 2),
    scored: put("scored", batch.scored, 4),
    sequences: put("sequences", batch.sequences, 4),
    groups: batch.groups,
    confidence: batch.confidence,
    tokenRows: {
      ids: put("token ids", batch.tokenRows.ids),
      starts: put("token starts", batch.tokenRows.starts),
      occurrences: put("token occurrences", batch.tokenRows.occurrences),
    },
  };
}

/** Packs trees and scored positions into a batch. */
export function packBatch(
  trees: readonly Tree[],
  scored: readonly ScoredPosition[],
  ranges: readonly SequenceRange[],
  groupSizes: readonly number[],
): PackedBatch {
  const tokens = packTokens(trees);
  return {
    ...tokens,
    ...packScored(scored, ranges, groupSizes),
    tokenRows: groupById(tokens.tokens),
  };
}
