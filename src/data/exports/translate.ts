// This module is browser compatible.

/**
 * The rows that tools export, as rows of `{prompt, chosen, rejected}`: a file for each, whose function knows its rows by their
 * keys.
 *
 * @module
 */

import type { RankedPairs } from "../ranked_answers.ts";
import type { DatasetRow } from "../rows.ts";
import { argilla } from "./argilla.ts";
import { labelStudio } from "./label_studio.ts";
import { openWebUi } from "./open_webui.ts";
import { rated } from "./rated.ts";
import { swift } from "./swift.ts";
import type { TranslatedRow } from "./translated.ts";
import { twoSides } from "./two_sides.ts";

/**
 * @param row Without nulls.
 * @param rule Which pairs rated or ranked answers make.
 * @returns null if it is no tool's row.
 * @throws {UserError} If it is one, but malformed.
 */
export function translateRow(row: DatasetRow, rule: RankedPairs): TranslatedRow | null {
  for (const translate of [openWebUi, labelStudio, argilla, swift, rated, twoSides]) {
    const translated = translate(row, rule);
    if (translated !== null) return translated;
  }
  return null;
}
