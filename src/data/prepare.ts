// This module is browser compatible.

import { UserError } from "../errors.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import { type EncodedExample, type EncodeOptions, encodeRow, encodingInWords } from "./encode.ts";
import { encodeAhead, type Encoder } from "./encoder.ts";
import type { Example, ParsedRow, ParseOptions } from "./examples.ts";
import type { PairFilter } from "./filter.ts";
import type { DataCounts, DropReason, Prepared, PreparedExample, PreparedRow } from "./prepared.ts";
import type { DatasetRow } from "./rows.ts";
import { type RowTerms, wordsOf } from "./terms.ts";
import type { TokenCache } from "./token_cache.ts";
import { type TokenSequence, truncate, type Truncation } from "./truncate.ts";

/** How rows become token sequences. */
export interface DataOptions extends ParseOptions, EncodeOptions {
  /** Longest sequence, prompt and completion together; at least 2. */
  maxLengthTokens: number;
  truncation: Truncation;
  /** Which tokens will count: rows in which none is left are dropped. */
  score: "completion" | "all";
  /** V of the model: larger token ids are an error. */
  vocabSize: number;
  /** The largest share of rows that may be cut or dropped for their length; all if absent. */
  maxTruncatedShare?: number;
  /** Rows that it rejects are left out. */
  filter?: PairFilter;
  /** Reading ends when so many rows are kept. */
  maxRows?: number;
  /** Encodes rows in portions, unless `maxRows` forbids reading ahead. */
  encoder?: Encoder;
  /** Where rows that were prepared before are; not used with `filter` and `maxRows`. */
  tokenCache?: TokenCache;
}

/** Understands, encodes and cuts rows one by one, and counts what becomes of them. */
export class RowPreparer {
  /** Of the rows so far. */
  readonly counts: DataCounts;
  /** How rows become tokens; "" before the first. */
  encoding = "";
  /** The shape of the first row, which all must have. */
  #shape: string | null = null;
  /** Of each example; 0 before the first. */
  completions = 0;
  /** Whether rows are a tool's, made into pairs. */
  translated = false;
  /** Whether a row has a weight above 0, as those have without one of their own. */
  #weighs = false;
  /** What some rows have besides. */
  readonly #additions = new Set<string>();
  readonly #columns = new Set<string>();
  readonly #usedColumns = new Set<string>();

  /** @param counts What became of rows before, in a run that is resumed. */
  constructor(
    readonly parse: (row: DatasetRow) => ParsedRow,
    readonly tokenizer: TextTokenizer | null,
    readonly options: DataOptions,
    counts: DataCounts = NO_ROWS,
  ) {
    this.counts = { ...NO_ROWS, ...counts };
  }

  /** The shape of the rows so far, in words; "" before the first. */
  get format(): string {
    const additions = [...this.#additions].sort().join(", ");
    return [this.#shape ?? "", ...additions === "" ? [] : [`with ${additions}`]].join(", ");
  }

  /** Columns that said nothing so far, sorted. */
  get unusedColumns(): string[] {
    return [...this.#columns.difference(this.#usedColumns)].sort();
  }

  /**
   * @returns The row's examples that are kept: the pairs that it makes, or its text.
   * @throws {UserError} If the row is malformed, of another shape than the first, or holds ids beyond the vocabulary.
   */
  prepare(row: DatasetRow): PreparedExample[] {
    const { where } = row;
    return this.take(row).flatMap(({ example, ...rest }) => {
      const encoded = encodeRow({ example, where }, this.tokenizer, this.options);
      const sequences = this.keep(encoded, where);
      return sequences === null ? [] : [{ sequences, ...rest }];
    });
  }

  /**
   * The first half of {@link prepare}: understands a row.
   *
   * @returns Its examples; none if it prefers no answer, or the filter rejects them.
   */
  take(row: DatasetRow): (Omit<PreparedExample, "sequences"> & { example: Example })[] {
    const { counts, options } = this;
    counts.rows++;
    const { example, others = [], ties = 0, notes = [], terms } = this.look(row);
    counts.ties += ties;
    if (example === null) {
      counts.droppedWithoutPreference++;
      return [];
    }
    for (const note of notes) counts[note]++;
    const examples = [example, ...others];
    counts.examples += examples.length;
    const passing = examples.filter((one) =>
      !options.filter || options.filter.judge(one, row.where).length === 0
    );
    counts.filtered += examples.length - passing.length;
    if (terms?.margin !== undefined) counts.withMargin++;
    if (terms?.weight !== undefined) counts.withWeight++;
    if (passing.length > 0) this.#weighs ||= terms?.weight !== 0;
    return passing.map((example) => terms === undefined ? { example } : { example, terms });
  }

  /**
   * The second half: cuts an example that is encoded.
   *
   * @returns null if it is left out.
   */
  keep(encoded: EncodedExample, where: string): TokenSequence[] | null {
    const { counts, options } = this;
    checkVocabulary(encoded.sequences, options.vocabSize, where);
    const sequences = fit(encoded, options);
    if (typeof sequences === "string") {
      counts[sequences]++;
      return null;
    }
    const lost = totalTokens(encoded.sequences) - totalTokens(sequences);
    if (lost > 0) counts.truncatedRows++;
    counts.truncatedTokens += lost;
    if (encoded.boundaryMerged) counts.boundaryMerged++;
    if (encoded.lostInTemplate) counts.lostInTemplate++;
    if (encoded.openingDropped) counts.openingDropped++;
    counts.kept++;
    return sequences;
  }

  /**
   * Understands a row without counting it.
   *
   * @throws {UserError} As {@link prepare}.
   */
  look(row: DatasetRow): ParsedRow {
    const parsed = this.parse(row);
    this.#shape ??= parsed.format;
    if (parsed.format !== this.#shape) {
      throw new UserError(
        `Cannot use ${row.where}: expected rows of one shape (${this.#shape}, as the first), found ${parsed.format}`,
      );
    }
    if (this.encoding === "" && parsed.example !== null) {
      this.completions = parsed.example.completions.length;
      this.encoding = encodingInWords(parsed.example.kind, this.tokenizer, this.options);
    }
    this.translated ||= parsed.translated ?? false;
    for (const addition of parsed.additions ?? []) this.#additions.add(addition);
    for (const column of Object.keys(row.value)) this.#columns.add(column);
    for (const column of parsed.columns) this.#usedColumns.add(column);
    return parsed;
  }

  /** @throws {UserError} If none of the rows so far is left, or too many are cut. */
  check(): void {
    const { counts, options } = this;
    if (counts.rows === 0) {
      throw new UserError("Cannot use the dataset: expected at least one row, found none");
    }
    if (counts.kept === 0) {
      throw new UserError(
        `Cannot use the dataset: expected a row with tokens that count, found ${counts.rows} rows, of which ` +
          (counts.filtered > 0 ? `${counts.filtered} are rejected by the filter, ` : "") +
          (counts.droppedWithoutPreference > 0
            ? `${counts.droppedWithoutPreference} prefer no answer, `
            : "") +
          `${counts.droppedEmptyCompletion} have an empty completion, ${counts.droppedPromptTooLong} a prompt of ` +
          `${options.maxLengthTokens} tokens or more, and ${counts.droppedTooLong} are longer; mend the rows, raise the maximum length or loosen the filter`,
      );
    }
    if (!this.#weighs && counts.withWeight > 0) {
      throw new UserError(
        `Cannot use the dataset: expected a weight above 0, found none in ${counts.withWeight} rows: mend them, or --weight-column none leaves weights out`,
      );
    }
    checkTruncation(counts, options);
  }
}

const NO_ROWS: DataCounts = {
  rows: 0,
  examples: 0,
  kept: 0,
  ties: 0,
  withMargin: 0,
  withWeight: 0,
  filtered: 0,
  droppedPromptTooLong: 0,
  droppedTooLong: 0,
  droppedEmptyCompletion: 0,
  droppedWithoutPreference: 0,
  truncatedRows: 0,
  truncatedTokens: 0,
  boundaryMerged: 0,
  severalAnswers: 0,
  repeatedPrompts: 0,
  echoedPrompts: 0,
  otherSpeakers: 0,
  turnsLeftOut: 0,
  lostInTemplate: 0,
  openingDropped: 0,
};

/**
 * Understands, encodes and cuts all rows of a dataset.
 *
 * @throws {UserError} As {@link RowPreparer}.
 */
export async function prepareRows(
  source: AsyncIterable<DatasetRow> | Iterable<DatasetRow>,
  parse: (row: DatasetRow) => ParsedRow,
  tokenizer: TextTokenizer | null,
  options: DataOptions,
): Promise<Prepared<PreparedRow>> {
  const isWhole = options.maxRows === undefined;
  const tokenCache = isWhole && options.filter === undefined ? options.tokenCache : undefined;
  const again = new RowPreparer(parse, tokenizer, options);
  const known = await tokenCache?.load((row) => again.prepare(row));
  if (known) return known;

  const preparer = new RowPreparer(parse, tokenizer, options);
  const rows: PreparedRow[] = [];
  const digests: ArrayBuffer[] = [];
  const examples = async function* () {
    for await (const row of source) {
      const index = preparer.counts.rows;
      for (const taken of preparer.take(row)) yield { index, where: row.where, ...taken };
    }
  };
  const encoder = isWhole ? options.encoder : undefined;
  for await (
    const { index, where, encoded, terms } of encodeAhead(examples(), encoder, tokenizer, options)
  ) {
    const sequences = preparer.keep(encoded, where);
    if (sequences === null) continue;
    rows.push(terms === undefined ? { index, sequences } : { index, sequences, terms });
    digests.push(await digest(sequences, terms));
    if (rows.length === options.maxRows) break;
  }
  preparer.check();
  const hash = new Uint8Array(
    await crypto.subtle.digest("SHA-256", await new Blob(digests).arrayBuffer()),
  );
  const { counts, format, translated, encoding, unusedColumns } = preparer;
  const prepared = {
    rows,
    counts,
    format,
    translated,
    encoding,
    unusedColumns,
    hash: hash.toHex(),
  };
  await tokenCache?.save(prepared);
  return prepared;
}

function checkTruncation(
  counts: DataCounts,
  { maxTruncatedShare = 1, maxLengthTokens }: DataOptions,
): void {
  const { truncatedRows, truncatedTokens } = counts;
  const rows = counts.examples - counts.filtered;
  const dropped = counts.droppedPromptTooLong + counts.droppedTooLong;
  const share = (truncatedRows + dropped) / rows;
  if (share <= maxTruncatedShare) return;
  throw new UserError(
    `Cannot use the dataset: expected at most ${
      100 * maxTruncatedShare
    } % of its rows longer than ` +
      `${maxLengthTokens} tokens, found ${
        truncatedRows + dropped
      } of ${rows}, of which ${truncatedRows} would lose ` +
      `${truncatedTokens} tokens and ${dropped} be dropped; raise --max-length, or accept it with ` +
      `--max-truncated-share ${Math.ceil(100 * share) / 100}`,
  );
}

/** @throws {UserError} If a token is beyond the vocabulary. */
export function checkVocabulary(
  sequences: TokenSequence[],
  vocabSize: number,
  where: string,
): void {
  for (const { ids } of sequences) {
    const wrong = ids.find((id) => id >= vocabSize);
    if (wrong !== undefined) {
      throw new UserError(
        `Cannot use ${where}: expected token ids from 0 to ${vocabSize - 1}, found ${wrong}; ` +
          `do tokenizer and model belong together?`,
      );
    }
  }
}

/**
 * Cuts a row to the maximum length.
 *
 * @returns Its sequences, or why it is dropped.
 */
export function fit(
  { sequences, hasEmptyCompletion }: EncodedExample,
  { maxLengthTokens, truncation, score }: DataOptions,
): TokenSequence[] | DropReason {
  const counts = ({ ids, promptLength }: TokenSequence) =>
    ids.length > (score === "all" ? 1 : promptLength);
  if (!sequences.every(counts) || hasEmptyCompletion && score !== "all") {
    return "droppedEmptyCompletion";
  }
  const cut = truncate(sequences, maxLengthTokens, truncation);
  if (cut === null) return "droppedTooLong";
  return cut.every(counts) ? cut : "droppedPromptTooLong";
}

function totalTokens(sequences: TokenSequence[]): number {
  return sequences.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** Rows are digested one by one, because Web Crypto takes no stream and a dataset need not fit in memory twice. */
function digest(sequences: TokenSequence[], terms?: RowTerms): Promise<ArrayBuffer> {
  const parts: Uint32Array<ArrayBuffer>[] = sequences.flatMap((
    { ids, promptLength },
  ) => [Uint32Array.of(promptLength, ids.length), ids]);
  if (terms !== undefined) parts.push(wordsOf(terms));
  return new Blob(parts).arrayBuffer().then((bytes) => crypto.subtle.digest("SHA-256", bytes));
}
