// This module is browser compatible.

/**
 * What the shapes of rows have in common: a prompt and its completions, one or two, and what stands beside them.
 *
 * @module
 */

import type { Loss } from "../losses/loss.ts";
import type { Message } from "../text/chat.ts";
import type { FoundColumns, NamedColumns } from "./columns.ts";
import { messagesIn, stringIn, toolsIn } from "./fields.ts";
import type { RowNote } from "./prepared.ts";
import type { PromptBoundary } from "./prompt_boundary.ts";
import type { RankedPairs } from "./ranked_answers.ts";
import type { DatasetRow } from "./rows.ts";
import { parseTerms, type RowTerms, type TermColumns } from "./terms.ts";

/** A prompt with its completions, in the form that the row has them. */
export type Example =
  | { kind: "text"; prompt: string; completions: string[] }
  | { kind: "messages"; prompt: Message[]; completions: Message[][]; tools?: unknown[] }
  | { kind: "tokens"; prompt: number[]; completions: number[][] };

/** A row that was understood. */
export interface ParsedRow {
  /** Null of a row that prefers no answer. */
  example: Example | null;
  /** The row's other pairs, where it makes several; see `ParseOptions.rankedPairs`. */
  others?: Example[];
  /** Answers that are as good as the one that they would be paired with. */
  ties?: number;
  /** Of all of its pairs. */
  terms?: RowTerms;
  /** The shape, in words; the same for all rows of a dataset. */
  format: string;
  /** Whether it is a tool's row, made into pairs; see `exports/translate.ts`. */
  translated?: true;
  /** What the row has besides, and others need not have. */
  additions?: string[];
  /** The columns that say something. */
  columns: string[];
  /** What is odd about the row. */
  notes?: RowNote[];
}

/** How preference rows are to be understood. */
export interface ParseOptions {
  /** Columns that the user named; see `findColumns`. */
  columns?: NamedColumns;
  /** How prompts are found that have no column of their own; by turns if absent. */
  promptBoundary?: PromptBoundary;
  /** Which pairs a row with several answers makes; `best-worst` if absent. */
  rankedPairs?: RankedPairs;
  /** Where margins and weights are; if absent, none are looked for. */
  terms?: TermColumns;
  /** Rows are single answers, and what each needs of other ones; see `parseAnswer`. Absent where they are pairs. */
  answers?: NonNullable<Loss["answers"]>;
}

export function withNotes(parsed: ParsedRow, notes: RowNote[]): ParsedRow {
  const all = [...new Set([...parsed.notes ?? [], ...notes])];
  return all.length === 0 ? parsed : { ...parsed, notes: all };
}

/** With what the row says of its pairs, or its answer, besides. */
export function withTerms(
  row: DatasetRow,
  parsed: ParsedRow,
  { terms: where }: ParseOptions,
): ParsedRow {
  if (where === undefined) return parsed;
  const { terms, additions, columns } = parseTerms(row, where);
  return terms === undefined ? parsed : {
    ...parsed,
    terms: { ...parsed.terms, ...terms },
    additions: [...parsed.additions ?? [], ...additions],
    columns: [...parsed.columns, ...columns],
  };
}

export function answerIn(row: DatasetRow, column: string): Message[] {
  return typeof row.value[column] === "string"
    ? [{ role: "assistant", content: stringIn(row, column) }]
    : messagesIn(row, column);
}

/** Adds what stands beside prompt and answers: the system message, and tools. */
export function complete(
  parsed: ParsedRow,
  row: DatasetRow,
  { system, input }: FoundColumns,
): ParsedRow {
  const { example, columns } = parsed;
  const additions: string[] = [];
  if (input !== undefined) additions.push(`instruction and input in one turn`);
  if (system !== undefined) additions.push(`system in "${system}"`);
  const tools = example?.kind === "messages" ? toolsIn(row, "tools") : undefined;
  if (tools !== undefined) additions.push("tools");
  const whole = example?.kind === "messages" && tools !== undefined
    ? { ...example, tools }
    : example!;
  return {
    ...parsed,
    example: withSystemMessage(whole, system === undefined ? [] : systemIn(row, system)),
    columns: tools === undefined ? columns : [...columns, "tools"],
    ...additions.length === 0 ? {} : { additions },
  };
}

function systemIn(row: DatasetRow, column: string): Message[] {
  return Array.isArray(row.value[column])
    ? messagesIn(row, column)
    : [{ role: "system", content: stringIn(row, column) }];
}

function withSystemMessage(example: Example, system: readonly Message[]): Example {
  if (example.kind !== "messages" || !system.some(({ content }) => content?.trim())) return example;
  if (example.prompt[0]?.role === "system") return example;
  return { ...example, prompt: [...system, ...example.prompt] };
}

/** Which columns to name, where they are called otherwise only by capitals. */
export function hintOf({ value }: DatasetRow): string {
  const hints = ["prompt", "chosen", "rejected"].flatMap((role) => {
    const column = Object.keys(value).find((name) => name !== role && name.toLowerCase() === role);
    return column === undefined ? [] : [`--${role}-column ${column}`];
  });
  return hints.length === 0 ? "" : `; name them with ${hints.join(" ")}`;
}
