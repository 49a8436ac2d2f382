// This module is browser compatible.
import type { RowPreparer } from "../data/prepare.ts";
import type { DataCounts, PreparedRow } from "../data/prepared.ts";
import type { DatasetRow } from "../data/rows.ts";
import { UserError } from "../errors.ts";
import { hash } from "./order.ts";
import type { NextRows, StepRows } from "./step_rows.ts";

/** How rows are drawn. */
export interface StreamOptions {
  rowsPerStep: number;
  /** Rows in memory to draw from; 1 keeps their order. */
  bufferRows: number;
  seed: number;
}

/** Where a stream stands; what a checkpoint keeps of it. */
export interface StreamPosition {
  /** Passes over the data that are done. */
  pass: number;
  /** Rows drawn in this one, those left out included. */
  drawn: number;
  /** Rows of a pass, from the second one on. */
  rowsPerPass: number | null;
  /** What became of all rows drawn. */
  counts: DataCounts;
  /** Pairs of the row drawn last that wait for the next step. */
  waiting?: number;
}

/** What steps are made from, of what rows of a dataset are made into. */
export interface StreamedRows<Row> {
  /** Takes a row apart, where a step counts its parts; a row as it is if absent. */
  apart?(row: PreparedRow): PreparedRow[];
  /** Makes the rows of a step. */
  toRows(step: readonly PreparedRow[]): Row[];
}

interface NumberedRow {
  /** In dataset order. */
  index: number;
  row: DatasetRow;
}

/** Truncation is looked at from this number of rows on, when its share is no accident, and up to the second number. */
const CHECKED_ROWS = [100, 1000];

/**
 * Rows that are read as training goes on: memory holds a buffer of them, whatever the size of the dataset. The next row is
 * drawn at random from the buffer, and another is read in its place. Which one depends on seed, pass and number alone, so
 * resuming at a position yields the same rows.
 */
export class RowStream<Row> implements StepRows {
  /** The rows of the newest step. Steps are made from this list, which changes. */
  readonly rows: Row[] = [];
  #source: AsyncIterator<DatasetRow> | null = null;
  #buffer: NumberedRow[] = [];
  #read = 0;
  #pass = 0;
  #drawn = 0;
  #rowsPerPass: number | null = null;
  /** What the row drawn last makes beyond the step. */
  #waiting: PreparedRow[] = [];

  /**
   * @param open Reads the dataset from its beginning.
   */
  constructor(
    readonly open: () => AsyncIterable<DatasetRow>,
    readonly preparer: RowPreparer,
    readonly streamed: StreamedRows<Row>,
    readonly options: StreamOptions,
  ) {}

  get position(): StreamPosition {
    return {
      pass: this.#pass,
      drawn: this.#drawn,
      rowsPerPass: this.#rowsPerPass,
      counts: { ...this.preparer.counts },
      waiting: this.#waiting.length,
    };
  }

  /**
   * Fills the buffer and understands a row, so that the shape of the rows is known.
   *
   * @throws {UserError} If there is no row, or it is malformed.
   */
  async begin(): Promise<void> {
    await this.#openPass();
    if (this.#buffer.length === 0) this.preparer.check();
    this.preparer.look(this.#buffer[0].row);
  }

  /** Goes to a position: reads what was read until then, and draws what was drawn. */
  async resume({ pass, drawn, rowsPerPass, counts, waiting = 0 }: StreamPosition): Promise<void> {
    this.#pass = pass;
    this.#rowsPerPass = rowsPerPass;
    await this.#openPass();
    let last: NumberedRow | null = null;
    while (this.#drawn < drawn) {
      const row = await this.#draw();
      if (row === null) break;
      last = row;
    }
    if (this.#drawn < drawn) {
      throw new UserError(
        `Cannot resume: expected the ${drawn} rows that were read before, found ${this.#drawn}; has the dataset changed?`,
      );
    }
    if (waiting > 0) this.#waiting = this.#prepare(last!).slice(-waiting);
    Object.assign(this.preparer.counts, counts);
  }

  async next(): Promise<NextRows> {
    const pass = this.#pass;
    const { rowsPerStep } = this.options;
    const step: PreparedRow[] = [];
    while (step.length < rowsPerStep) {
      const waiting = this.#waiting.splice(0, rowsPerStep - step.length);
      if (waiting.length > 0) {
        step.push(...waiting);
        continue;
      }
      const drawn = await this.#draw();
      if (drawn === null) {
        if (step.length > 0) break;
        await this.#nextPass();
        return await this.next();
      }
      this.#waiting = this.#prepare(drawn);
    }
    this.rows.splice(0, this.rows.length, ...this.streamed.toRows(step));
    const { counts } = this.preparer;
    if (counts.rows >= CHECKED_ROWS[0] && counts.rows <= CHECKED_ROWS[1]) this.preparer.check();
    const share = this.#rowsPerPass === null ? 0 : this.#drawn / this.#rowsPerPass;
    const rows = Uint32Array.from(this.rows.keys());
    return { rows, pass, epoch: pass + share };
  }

  #prepare({ row, index }: NumberedRow): PreparedRow[] {
    const prepared = this.preparer.prepare(row).map((example) => ({ index, ...example }));
    const { apart } = this.streamed;
    return apart ? prepared.flatMap(apart) : prepared;
  }

  /** Closes the file that is read from. */
  async close(): Promise<void> {
    await this.#source?.return?.();
    this.#source = null;
  }

  async #openPass(): Promise<void> {
    await this.close();
    this.#source = this.open()[Symbol.asyncIterator]();
    this.#buffer = [];
    this.#read = this.#drawn = 0;
    while (this.#buffer.length < this.options.bufferRows) {
      const row = await this.#readRow();
      if (row === null) break;
      this.#buffer.push(row);
    }
  }

  async #nextPass(): Promise<void> {
    if (this.preparer.counts.kept === 0) this.preparer.check();
    this.#rowsPerPass = this.#drawn;
    this.#pass++;
    await this.#openPass();
    if (this.#buffer.length === 0) {
      throw new UserError(
        "Cannot read the dataset again: expected the same rows as before, found none",
      );
    }
  }

  async #draw(): Promise<NumberedRow | null> {
    const { length } = this.#buffer;
    if (length === 0) return null;
    const place = Math.floor(hash(this.options.seed, this.#pass, this.#drawn++) / 2 ** 32 * length);
    const drawn = this.#buffer[place];
    const last = await this.#readRow() ?? this.#buffer.pop()!;
    if (place < this.#buffer.length) this.#buffer[place] = last;
    return drawn;
  }

  async #readRow(): Promise<NumberedRow | null> {
    if (this.#source === null) return null;
    const { value, done } = await this.#source.next();
    if (!done) return { index: this.#read++, row: value };
    this.#source = null;
    return null;
  }
}
