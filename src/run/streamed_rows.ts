// This module is browser compatible.
/** A training dataset that is read as training goes on. */
import type { Options } from "../config/resolve.ts";
import type { BatchLimits } from "../data/divide.ts";
import type { ParsedRow } from "../data/examples.ts";
import { type DataOptions, RowPreparer } from "../data/prepare.ts";
import { type DatasetRow, readRowsInTurn, sizesOf } from "../data/rows.ts";
import type { DataCounts, PreparedRow } from "../data/prepared.ts";
import type { TokenSequence } from "../data/truncate.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { LargestBatch } from "../train/fit_memory.ts";
import { RowStream, type StreamedRows } from "../train/row_stream.ts";
import { dataRecord, mainDataset } from "./inputs.ts";
import type { Ports } from "./ports.ts";
import type { TrainingRows } from "./training_run.ts";

/** What rows of a dataset become when they are streamed. */
export interface StreamedKind<Row> extends StreamedRows<Row> {
  /** Understands a row. */
  parse(row: DatasetRow): ParsedRow;
  /** Sequences of a row of a step, and the row that they make, for what it may take at most. */
  most: { sequences: number; toRow(prepared: PreparedRow): Row };
  /** What became of the rows, as steps count them; as they are if absent. */
  countsOf?(counts: DataCounts, preparer: RowPreparer): DataCounts;
}

/**
 * @throws {UserError} If the dataset cannot be read, or its first rows not be understood.
 */
export async function streamRows<Row>(
  options: Options<"train"> | Options<"sft">,
  tokenizer: TextTokenizer | null,
  data: DataOptions,
  kind: StreamedKind<Row>,
  ports: Ports,
): Promise<TrainingRows<Row>> {
  const named = mainDataset(options, "train");
  const dataset = await ports.openDataset(named.path, named);
  const preparer = new RowPreparer(kind.parse, tokenizer, data);
  const rowsPerStep = options.perDeviceTrainBatchSize * options.gradientAccumulationSteps;
  const bufferRows = options.shuffle ? options.shuffleBufferSize : 1;
  const drawing = { rowsPerStep, bufferRows, seed: options.seed };
  const stream = new RowStream(() => readRowsInTurn(dataset), preparer, kind, drawing);
  await stream.begin();
  const sizes = new TextEncoder().encode(JSON.stringify(await sizesOf(dataset)));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", sizes)).toHex();
  const record = () => {
    const { format, translated, encoding, unusedColumns } = preparer;
    const counts = kind.countsOf?.(preparer.counts, preparer) ?? preparer.counts;
    const known = { counts, format, translated, encoding, unusedColumns, hash };
    return dataRecord(named, dataset, known, data);
  };
  return {
    rows: stream.rows,
    plan: { rowsPerStep, totalSteps: options.maxSteps },
    order: stream,
    stream,
    largest: (limits) => largestRows(limits, kind.most, data.maxLengthTokens),
    data: () => ({ record: record(), tokens: null, bufferRows }),
  };
}

/** The largest batch that there may ever be: as many rows as have at least two tokens a sequence, and all tokens. */
function largestRows<Row>(
  limits: BatchLimits,
  { sequences: sequencesPerRow, toRow }: StreamedKind<Row>["most"],
  maxLengthTokens: number,
): ReturnType<LargestBatch<Row>> {
  const longest = sequencesPerRow * maxLengthTokens;
  const tokens = Math.max(longest, Math.min(limits.rows * longest, limits.tokens));
  const rows = Math.min(limits.rows, Math.floor(tokens / (2 * sequencesPerRow)));
  const [least, more] = [Math.floor(tokens / rows), tokens % rows];
  const sizes = Array.from({ length: rows }, (_, row) => least + (row < more ? 1 : 0));
  // Sequences of a row have nothing in common.
  const sequences = (size: number) =>
    Array.from({ length: sequencesPerRow }, (_, id): TokenSequence => ({
      ids: new Uint32Array(Math.floor((size + id) / sequencesPerRow)).fill(id),
      promptLength: 1,
    }));
  return {
    rows: sizes.map((size, index) => toRow({ index, sequences: sequences(size) })),
    tokens: sizes,
  };
}
