// This module is browser compatible.

/**
 * What a row says of its pairs besides their answers.
 *
 * @module
 */

import { describe } from "../formats/json.ts";
import { malformed } from "./fields.ts";
import type { DatasetRow } from "./rows.ts";

/** Numbers of a pair, as f32 has them. */
export interface RowTerms {
  /** By how much more than the reference the policy is to prefer the chosen answer, in units of rewards. */
  margin?: number;
  /** What the pair's loss is multiplied with. */
  weight?: number;
  /** Whether a single answer is a good one. */
  label?: boolean;
}

/**
 * The columns that terms are in, for all commands that read pairs, so that they take rows alike; null: the one of the usual name,
 * if there is one; "none": no column.
 */
export interface TermColumns {
  margin: string | null;
  weight: string | null;
  /** Losses that know no margin, or no weights: a row that has one is refused. */
  refused?: { margin?: string; weight?: string };
}

/** Terms that were understood, and what is to be said of them. */
export interface ParsedTerms {
  terms?: RowTerms;
  additions: string[];
  columns: string[];
}

/**
 * @param row As it was read: null says that it has no such term.
 * @throws {UserError} If a named column is missing, a value is no number, a weight is below 0, or the loss knows no such term.
 */
export function parseTerms(row: DatasetRow, columns: TermColumns): ParsedTerms {
  const parsed: ParsedTerms = { additions: [], columns: [] };
  const terms: RowTerms = {};
  for (const name of ["margin", "weight"] as const) {
    const column = columns[name] ?? name;
    if (column === "none") continue;
    if (columns[name] !== null && !(column in row.value)) {
      const found = Object.keys(row.value).join(", ") || "an empty row";
      throw malformed(row, `a column "${column}" for --${name}-column`, found);
    }
    if ((row.value[column] ?? null) === null) continue;
    const loss = columns.refused?.[name];
    if (loss !== undefined) {
      throw malformed(
        row,
        `no ${name} with --loss-type ${loss}`,
        `"${column}": --${name}-column none leaves it out`,
      );
    }
    terms[name] = numberIn(row, column, name === "weight" ? 0 : -Infinity);
    parsed.additions.push(column === name ? name : `${name} in "${column}"`);
    parsed.columns.push(column);
  }
  return parsed.columns.length === 0 ? parsed : { ...parsed, terms };
}

/** A number, also in text, as tables of text have it. */
function numberIn(row: DatasetRow, column: string, least: number): number {
  const value = row.value[column];
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  const rounded = typeof number === "number" ? Math.fround(number) : NaN;
  if (Number.isFinite(rounded) && rounded >= least) return rounded;
  throw malformed(
    row,
    `"${column}" to be a number${least === 0 ? " of at least 0" : ""}`,
    typeof value === "number" ? `${value}` : describe(value),
  );
}

/** Terms as 32-bit words; NaN stands for one that is absent. */
export function wordsOf(
  { margin = NaN, weight = NaN, label }: RowTerms,
): Uint32Array<ArrayBuffer> {
  const sign = label === undefined ? NaN : Number(label);
  return new Uint32Array(Float32Array.of(margin, weight, sign).buffer);
}

/** The terms of {@link wordsOf}, absent if all of them are. */
export function termsOf(words: Uint32Array): RowTerms | undefined {
  const [margin, weight, sign] = new Float32Array(words.slice().buffer);
  const terms = {
    ...Number.isNaN(margin) ? {} : { margin },
    ...Number.isNaN(weight) ? {} : { weight },
    ...Number.isNaN(sign) ? {} : { label: sign === 1 },
  };
  return Object.keys(terms).length === 0 ? undefined : terms;
}

/** Words of {@link wordsOf}. */
export const TERM_WORDS = 3;
