// This module is browser compatible.

/**
 * Which columns of a row hold prompt, answers and system message. Datasets name them in several ways.
 *
 * @module
 */

import { malformed } from "./fields.ts";
import type { DatasetRow } from "./rows.ts";

/** What a column of preference data is for. */
export type ColumnRole = "prompt" | "chosen" | "rejected" | "system";

/** Columns that the user named, by role; those of other roles are found by their names. */
export type NamedColumns = Partial<Readonly<Record<ColumnRole, string | null>>>;

/** In place of a column: the row's column of that role does not count. */
const NO_COLUMN = "none";

/** TRL's name first; then those of Argilla's, Intel's and LLaMA-Factory's datasets. */
const NAMES: Readonly<Record<ColumnRole, readonly string[]>> = {
  prompt: ["prompt", "instruction", "input", "question", "conversations"],
  chosen: ["chosen", "chosen_response"],
  rejected: ["rejected", "rejected_response"],
  system: ["system", "system_prompt"],
};

/** The columns of a row, by role, that are there. */
export type FoundColumns = Partial<Record<ColumnRole | "input", string>>;

/**
 * Alpaca's rows have what an instruction is about in a column of its own, here `input`.
 *
 * @param row Without nulls.
 * @throws {UserError} If a named column is missing, or several columns could be meant.
 */
export function findColumns(row: DatasetRow, named: NamedColumns): FoundColumns {
  const found: FoundColumns = {};
  for (const role of Object.keys(NAMES) as ColumnRole[]) {
    const column = findColumn(row, role, named[role] ?? null);
    if (column !== null) found[role] = column;
  }
  const isAlpaca = found.prompt === "instruction" && !named.prompt && "input" in row.value;
  return isAlpaca ? { ...found, input: "input" } : found;
}

function findColumn(row: DatasetRow, role: ColumnRole, named: string | null): string | null {
  if (named === NO_COLUMN) return null;
  if (named !== null) {
    if (named in row.value) return named;
    const columns = Object.keys(row.value).join(", ") || "an empty row";
    throw malformed(row, `a column "${named}" for --${role}-column`, columns);
  }
  const [first, ...others] = NAMES[role];
  if (first in row.value) return first;
  const found = others.filter((column) => column in row.value);
  if (found.join() === "instruction,input") return "instruction";
  if (found.length > 1) {
    throw malformed(
      row,
      `one column for the ${role}`,
      `${found.join(" and ")}: name one with --${role}-column`,
    );
  }
  return found[0] ?? null;
}

/** Whether a column was found by a name that says that it is one turn of a conversation, not TRL's plain text. */
export function isTurn(column: string, named: NamedColumns): boolean {
  return column !== named.prompt && NAMES.prompt.indexOf(column) > 0;
}
