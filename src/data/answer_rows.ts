// This module is browser compatible.

/**
 * The row shapes of answers that are good or bad by themselves, for losses of single answers.
 *
 * @module
 */

import { describe } from "../formats/json.ts";
import { type ParsedRow, type ParseOptions, withTerms } from "./examples.ts";
import { isPairRow, parsePair } from "./pair_rows.ts";
import { openWebUiThumb } from "./exports/open_webui.ts";
import { malformed, plainRow } from "./fields.ts";
import type { DatasetRow } from "./rows.ts";
import { parseUnlabeled } from "./text_rows.ts";

/**
 * Understands a row of an answer with a label, or of a pair, whose answers are labeled by what they are:
 *
 * - `{prompt, completion, label}` and the other shapes of `parseSequence` with a `label`;
 * - rated answers of Open WebUI's feedback, with or without a sibling;
 * - every row of `parsePair`.
 *
 * @throws {UserError} If the row has none of these shapes, or no label; the message names file and line.
 */
export function parseAnswer(row: DatasetRow, options: ParseOptions = {}): ParsedRow {
  const plain = plainRow(row);
  const thumb = openWebUiThumb(plain);
  if (thumb !== null) {
    const { format, columns, rating } = thumb;
    if (rating === 0) return { format, columns, example: null, translated: true };
    const { example } = parseUnlabeled({ where: row.where, value: thumb.value });
    const terms = { label: rating > 0 };
    return withTerms(row, { format, columns, example, translated: true, terms }, options);
  }
  if (isPairRow(plain, options.columns)) return parsePair(row, options);
  if (!("label" in plain.value)) {
    throw malformed(
      row,
      '"label" (true or false) beside a single answer, or a pair of answers',
      Object.keys(plain.value).join(", ") || "an empty row",
    );
  }
  const parsed = parseUnlabeled(plain);
  const format = `${parsed.format}, each answer with a label`;
  const columns = [...parsed.columns, "label"];
  const terms = { label: labelIn(plain) };
  return withTerms(row, { ...parsed, format, columns, terms }, options);
}

/** Understands a row as the options say: as answers, or as a pair. */
export function parsePreference(row: DatasetRow, options: ParseOptions): ParsedRow {
  return options.answers === undefined ? parsePair(row, options) : parseAnswer(row, options);
}

/** Whether a row is a single answer with a label, of which no loss says so. */
export function isAnswerRow(row: DatasetRow, { columns }: ParseOptions): boolean {
  const plain = plainRow(row);
  return "label" in plain.value && !isPairRow(plain, columns);
}

/** A label, also as a number or in text, as tables have it. */
function labelIn(row: DatasetRow): boolean {
  const { label } = row.value;
  const word = typeof label === "string" ? label.trim().toLowerCase() : label;
  if ([true, 1, "true", "1"].includes(word as string)) return true;
  if ([false, 0, "false", "0"].includes(word as string)) return false;
  throw malformed(row, '"label" to be true or false', describe(label));
}
