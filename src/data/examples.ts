// This module is browser compatible.

/**
 * The row shapes of datasets, and what they have in common: a prompt and its completions, one or two.
 *
 * @module
 */

import { describe, isObject } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import { findColumns, type FoundColumns, isTurn, type NamedColumns } from "./columns.ts";
import { translateRow } from "./exports.ts";
import { malformed, messagesIn, plainRow, stringIn, tokenIdsIn, toolsIn } from "./fields.ts";
import type { RowNote } from "./prepared.ts";
import {
  ASSISTANT,
  type PromptBoundary,
  sameMessage,
  splitConversation,
  splitDialogue,
  splitMessagesLikeTrl,
  splitTextLikeTrl,
} from "./prompt_boundary.ts";
import type { DatasetRow } from "./rows.ts";

/** A prompt with its completions, in the form that the row has them. */
export type Example =
  | { kind: "text"; prompt: string; completions: string[] }
  | { kind: "messages"; prompt: Message[]; completions: Message[][]; tools?: unknown[] }
  | { kind: "tokens"; prompt: number[]; completions: number[][] };

/** A row that was understood. */
export interface ParsedRow {
  /** Null of a row that prefers no answer. */
  example: Example | null;
  /** The shape, in words; the same for all rows of a dataset. */
  format: string;
  /** Whether it is a tool's row, made into a pair; see `exports.ts`. */
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
}

/**
 * Understands a row of preference data:
 *
 * - `{prompt, chosen, rejected}` as strings or as message lists, or some as the one and some as the other: strings are then
 *   turns. An answer may be one message;
 * - `{chosen, rejected}` as HH-RLHF texts or as message lists, whole conversations: see `PromptBoundary`. A prompt beside whole
 *   conversations is what they repeat;
 * - the same with other names of columns, see `findColumns`. Where a column is a turn by its name (`question`,
 *   `instruction`, `input`) or a `system` message is beside it, strings become a conversation;
 * - `{conversations, chosen, rejected}`, ShareGPT's messages with one message as each answer;
 * - `{input: {messages}, preferred_output, non_preferred_output}`, as OpenAI's fine-tuning takes them;
 * - `{prompt_ids, chosen_ids, rejected_ids}`: token ids, prompt and completions apart;
 * - the exports of tools, see `exports.ts`.
 *
 * Of several answers on a side the first counts. `tools` beside messages are for the chat template. Null is absent.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parsePair(row: DatasetRow, options: ParseOptions = {}): ParsedRow {
  const plain = plainRow(row);
  const parsed = parsePlain(plain, options);
  const { example } = parsed;
  const isOther = ([first]: Message[]) => first !== undefined && first.role !== "assistant";
  return example?.kind === "messages" && example.completions.some(isOther)
    ? withNotes(parsed, ["otherSpeakers"])
    : parsed;
}

/** Whether a row is preference data, of whatever shape. */
export function isPairRow(row: DatasetRow, columns: NamedColumns = {}): boolean {
  const plain = plainRow(row);
  const { chosen, rejected } = findColumns(plain, columns);
  return chosen !== undefined || rejected !== undefined ||
    PAIR_KEYS.some((key) => key in plain.value) || translateRow(plain) !== null;
}

const PAIR_KEYS = ["prompt_ids", "chosen_ids", "preferred_output", "non_preferred_output"];

function parsePlain(row: DatasetRow, options: ParseOptions): ParsedRow {
  const { columns: named = {} } = options;
  if ("prompt_ids" in row.value || "chosen_ids" in row.value) {
    const columns = ["prompt_ids", "chosen_ids", "rejected_ids"];
    const [prompt, ...completions] = columns.map((column) => tokenIdsIn(row, column));
    return { format: "token ids", example: { kind: "tokens", prompt, completions }, columns };
  }
  if ("preferred_output" in row.value || "non_preferred_output" in row.value) {
    return parseOpenAi(row);
  }
  const found = findColumns(row, named);
  if (found.chosen !== undefined && found.rejected !== undefined) {
    // Beside whole conversations, `messages` is one of them again.
    const isPrompt = found.prompt === undefined && !named.prompt &&
      Array.isArray(row.value.messages) && !Array.isArray(row.value[found.chosen]);
    return parseColumns(row, isPrompt ? { ...found, prompt: "messages" } : found, options);
  }
  const translated = named.chosen || named.rejected ? null : translateRow(row);
  if (translated === null) return parseColumns(row, found, options);
  const { format, columns, pair, answers } = translated;
  if (pair === null) return { format, columns, example: null, translated: true };
  const there = { where: row.where, value: pair };
  const parsed = parseColumns(there, findColumns(there, named), options);
  const used = [...columns, ...parsed.columns.filter((column) => column in row.value)];
  return withNotes(
    { ...parsed, format, columns: [...new Set(used)], translated: true },
    answers > 2 ? ["severalAnswers"] : [],
  );
}

function withNotes(parsed: ParsedRow, notes: RowNote[]): ParsedRow {
  const all = [...new Set([...parsed.notes ?? [], ...notes])];
  return all.length === 0 ? parsed : { ...parsed, notes: all };
}

/** Understands a row by what its columns are for. */
function parseColumns(
  given: DatasetRow,
  found: FoundColumns,
  { columns: named = {}, promptBoundary = "turns" }: ParseOptions,
): ParsedRow {
  const { prompt, chosen = "chosen", rejected = "rejected", system, input } = found;
  const { row, notes } = withOneAnswer(given, [chosen, rejected]);
  const [valueA, valueB] = [row.value[chosen], row.value[rejected]];
  const columns = [prompt, chosen, rejected, system, input].filter((column) =>
    column !== undefined
  );
  const understood = (format: string, example: Example): ParsedRow =>
    withNotes(complete({ format: format + renamed(found), example, columns }, row, found), notes);
  const promptText = () => {
    const text = stringIn(row, prompt!);
    const about = input === undefined ? "" : stringIn(row, input);
    return about.trim() === "" ? text : `${text}\n${about}`;
  };
  const answers = () => [chosen, rejected].map((column) => answerIn(row, column));
  if (
    typeof valueA === "string" && typeof valueB === "string" &&
    !Array.isArray(row.value[prompt ?? ""])
  ) {
    const [a, b] = [stringIn(row, chosen), stringIn(row, rejected)];
    if (prompt === undefined) {
      if (system !== undefined) {
        throw malformed(
          row,
          "a prompt beside the system message",
          "none; name it with --prompt-column",
        );
      }
      return promptBoundary === "trl"
        ? understood("text, prompt up to the first difference as in TRL", {
          kind: "text",
          ...splitTextLikeTrl(a, b),
        })
        : understood(`dialogue text, prompt up to the last shared ${describe(ASSISTANT)}`, {
          kind: "text",
          ...splitDialogue(row, a, b),
        });
    }
    const text = promptText();
    const parsed = system === undefined && !isTurn(prompt, named)
      ? understood("text with prompt", { kind: "text", prompt: text, completions: [a, b] })
      : understood("text as turns of a conversation", {
        kind: "messages",
        prompt: [{ role: "user", content: text }],
        completions: [a, b].map((content) => [{ role: "assistant", content }]),
      });
    return withoutRepeatedText(parsed, text);
  }
  const isAnswer = (value: unknown) =>
    Array.isArray(value) || prompt !== undefined && isObject(value);
  const isOneOfBoth = (value: unknown) =>
    typeof value === "string" || isObject(value) || Array.isArray(value) && value.length > 0;
  const mixed = prompt !== undefined && isOneOfBoth(valueA) && isOneOfBoth(valueB);
  if (isAnswer(valueA) && isAnswer(valueB) || mixed) {
    const [turns, others] = answers();
    if (prompt !== undefined && (Array.isArray(row.value[prompt]) || isObject(row.value[prompt]))) {
      return withoutRepeatedTurns(understood("messages with prompt", {
        kind: "messages",
        prompt: messagesIn(row, prompt),
        completions: [turns, others],
      }));
    }
    const isWhole = (completion: Message[]) => completion.some(({ role }) => role === "user");
    if (prompt !== undefined && !(isWhole(turns) && isWhole(others))) {
      return withoutRepeatedTurns(understood("messages with prompt as text", {
        kind: "messages",
        prompt: [{ role: "user", content: promptText() }],
        completions: [turns, others],
      }));
    }
    if (promptBoundary === "trl") {
      return understood("messages, prompt up to the first different turn as in TRL", {
        kind: "messages",
        ...splitMessagesLikeTrl(turns, others),
      });
    }
    if (prompt !== undefined) checkRepeated(row, prompt, turns);
    return understood("messages, shared turns as prompt", {
      kind: "messages",
      ...splitConversation(row, turns, others),
    });
  }
  throw malformed(
    row,
    '"chosen" and "rejected" as two strings or two message lists, or "prompt_ids", "chosen_ids" and "rejected_ids"',
    `${chosen}: ${describe(valueA)}, ${rejected}: ${describe(valueB)} (columns: ${
      Object.keys(row.value).join(", ") || "none"
    }${hintOf(row)})`,
  );
}

/** Which columns to name, where they are called otherwise only by capitals. */
function hintOf({ value }: DatasetRow): string {
  const hints = ["prompt", "chosen", "rejected"].flatMap((role) => {
    const column = Object.keys(value).find((name) => name !== role && name.toLowerCase() === role);
    return column === undefined ? [] : [`--${role}-column ${column}`];
  });
  return hints.length === 0 ? "" : `; name them with ${hints.join(" ")}`;
}

/** Of a list of answers on a side, strings or message lists, the first. */
function withOneAnswer(
  row: DatasetRow,
  columns: readonly string[],
): { row: DatasetRow; notes: RowNote[] } {
  const value = { ...row.value };
  const notes: RowNote[] = [];
  for (const column of columns) {
    const list = value[column];
    if (!Array.isArray(list) || list.length === 0) continue;
    const isSeveral = list.every((item) => typeof item === "string") || list.every(Array.isArray);
    if (!isSeveral) continue;
    value[column] = list[0];
    if (list.length > 1) notes.push("severalAnswers");
  }
  return { row: { ...row, value }, notes };
}

function answerIn(row: DatasetRow, column: string): Message[] {
  return typeof row.value[column] === "string"
    ? [{ role: "assistant", content: stringIn(row, column) }]
    : messagesIn(row, column);
}

/** Adds what stands beside prompt and answers: the system message, and tools. */
function complete(parsed: ParsedRow, row: DatasetRow, { system, input }: FoundColumns): ParsedRow {
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

function parseOpenAi(row: DatasetRow): ParsedRow {
  const { input } = row.value;
  if (!isObject(input)) {
    throw malformed(row, '"input" to be an object with "messages"', describe(input));
  }
  const columns = ["preferred_output", "non_preferred_output"];
  const inside = plainRow({ ...row, value: input });
  const tools = toolsIn(inside, "tools");
  return {
    format: "OpenAI's preference rows",
    example: {
      kind: "messages",
      prompt: messagesIn(inside, "messages"),
      completions: columns.map((column) => messagesIn(row, column)),
      ...tools === undefined ? {} : { tools },
    },
    columns: ["input", ...columns],
    ...tools === undefined ? {} : { additions: ["tools"] },
  };
}

/** Where the parts are, if not in the columns of their own names. */
function renamed({ input: _input, system: _system, ...found }: FoundColumns): string {
  if (Object.entries(found).every(([role, column]) => role === column)) return "";
  const places = Object.entries(found).map(([role, column]) => `${role} in "${column}"`);
  return ` (${places.join(", ")})`;
}

function withSystemMessage(example: Example, system: readonly Message[]): Example {
  if (example.kind !== "messages" || !system.some(({ content }) => content?.trim())) return example;
  if (example.prompt[0]?.role === "system") return example;
  return { ...example, prompt: [...system, ...example.prompt] };
}

/** A prompt beside whole conversations may only say again what is in them. */
function checkRepeated(row: DatasetRow, prompt: string, turns: Message[]): void {
  const text = row.value[prompt];
  const isSaid = ({ role, content }: Message) =>
    role === "user" && typeof text === "string" && content?.trim() === text.trim();
  if (turns.some(isSaid)) return;
  throw malformed(
    row,
    `"${prompt}" to be a message list or a user message of the conversations`,
    `${describe(text)}; --prompt-column none leaves it out`,
  );
}

/** Leaves out what answers repeat of their prompt, whole conversations beside a prompt as they are. */
function withoutRepeatedTurns(parsed: ParsedRow): ParsedRow {
  const { example } = parsed;
  if (example?.kind !== "messages" || example.prompt.length === 0) return parsed;
  const { prompt, completions } = example;
  const begins = (turns: readonly Message[], from: number) =>
    turns.length > from + prompt.length &&
    prompt.every((message, i) => sameMessage(message, turns[from + i]));
  // Whole conversations may begin with a system message that the prompt lacks.
  const [{ [0]: first }] = completions;
  const own =
    completions.every((turns) =>
        turns[0]?.role === "system" && sameMessage(turns[0], first) && begins(turns, 1)
      )
      ? 1
      : 0;
  const isRepeated = completions.map((turns) => begins(turns, own));
  if (!isRepeated.includes(true)) return parsed;
  return withNotes({
    ...parsed,
    example: {
      ...example,
      prompt: [...completions[0].slice(0, own), ...prompt],
      completions: completions.map((turns, side) =>
        isRepeated[side] ? turns.slice(own + prompt.length) : turns
      ),
    },
  }, ["repeatedPrompts"]);
}

/** The same for text: a dialogue is surely repeated; an answer may begin with a question to make a sentence of it. */
function withoutRepeatedText(parsed: ParsedRow, text: string): ParsedRow {
  const { example } = parsed;
  if (!example || !/\S\s+\S/.test(text)) return parsed;
  const textOf = (completion: string | Message[] | number[]) =>
    typeof completion === "string" ? completion : (completion[0] as Message).content ?? "";
  if (!example.completions.every((completion) => textOf(completion).startsWith(text))) {
    return parsed;
  }
  if (example.kind !== "text" || !text.includes(ASSISTANT)) {
    return withNotes(parsed, ["echoedPrompts"]);
  }
  const completions = example.completions.map((answer) => answer.slice(text.length));
  return withNotes({ ...parsed, example: { ...example, completions } }, ["repeatedPrompts"]);
}

/**
 * Understands a row for next-token training:
 *
 * - `{text}`;
 * - `{prompt, completion}` as strings or as message lists, or one as the one and one as the other;
 * - `{messages}` or `{conversations}`: the prompt is everything before the last answer, and what follows that is left out;
 * - `{instruction, input?, output}` as turns;
 * - `{input_ids, prompt_length?}`: token ids, of which the first `prompt_length` (0 if absent) are the prompt.
 *
 * Rows that are marked as bad, with `label` false, are left out. Null is absent.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parseSequence(row: DatasetRow): ParsedRow {
  const plain = plainRow(row);
  const parsed = parsePlainSequence(plain);
  if (plain.value.label !== false || parsed.columns.includes("label")) return parsed;
  return { ...parsed, example: null, columns: [...parsed.columns, "label"] };
}

function parsePlainSequence(row: DatasetRow): ParsedRow {
  const { value } = row;
  if ("input_ids" in value) {
    const ids = tokenIdsIn(row, "input_ids");
    const length = value.prompt_length ?? 0;
    if (!Number.isInteger(length) || (length as number) < 0 || (length as number) > ids.length) {
      throw malformed(row, `"prompt_length" from 0 to ${ids.length}`, describe(length));
    }
    const [prompt, completion] = [ids.slice(0, length as number), ids.slice(length as number)];
    return {
      format: "token ids",
      example: { kind: "tokens", prompt, completions: [completion] },
      columns: ["input_ids", "prompt_length"],
    };
  }
  const conversation = ["messages", "conversations"].find((column) => column in value);
  if (conversation !== undefined) {
    const turns = messagesIn(row, conversation);
    const last = turns.findLastIndex(({ role }) => role === "assistant");
    if (last < 0) throw malformed(row, 'a message of the "assistant"', "none");
    const prompt = turns.slice(0, last);
    const parsed = sequenceOf(row, "messages", prompt, [turns[last]], [conversation]);
    return withNotes(parsed, last < turns.length - 1 ? ["turnsLeftOut"] : []);
  }
  const columns = ["prompt", "completion"];
  const isList = (column: string) => Array.isArray(value[column]) || isObject(value[column]);
  if (columns.some(isList)) {
    const prompt = typeof value.prompt === "string"
      ? [{ role: "user", content: stringIn(row, "prompt") }]
      : messagesIn(row, "prompt");
    const format = columns.every(isList) ? "messages with prompt" : "messages and text";
    const completion = answerIn(row, "completion");
    return withoutRepeatedTurns(sequenceOf(row, format, prompt, completion, columns));
  }
  if ("prompt" in value || "completion" in value) {
    const [prompt, completion] = columns.map((column) => stringIn(row, column));
    return {
      format: "text with prompt",
      example: { kind: "text", prompt, completions: [completion] },
      columns,
    };
  }
  if ("text" in value) {
    const completions = [stringIn(row, "text")];
    return {
      format: "text",
      example: { kind: "text", prompt: "", completions },
      columns: ["text"],
    };
  }
  if ("instruction" in value && "output" in value) {
    const about = "input" in value ? stringIn(row, "input") : "";
    const text = stringIn(row, "instruction") + (about.trim() === "" ? "" : `\n${about}`);
    const prompt = [{ role: "user", content: text }];
    const names = ["instruction", "input", "output"];
    return sequenceOf(row, "instruction with output", prompt, answerIn(row, "output"), names);
  }
  throw malformed(
    row,
    '"text", "messages", "prompt" and "completion", "instruction" and "output", or "input_ids"',
    (Object.keys(value).join(", ") || "an empty row") + hintOf(row),
  );
}

function sequenceOf(
  row: DatasetRow,
  format: string,
  prompt: Message[],
  completion: Message[],
  columns: string[],
): ParsedRow {
  return complete(
    { format, example: { kind: "messages", prompt, completions: [completion] }, columns },
    row,
    {},
  );
}
