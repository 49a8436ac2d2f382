// This module is browser compatible.

/**
 * The row shapes of preference data.
 *
 * @module
 */

import { describe, isObject } from "../formats/json.ts";
import type { Message } from "../text/chat.ts";
import { findColumns, type FoundColumns, isTurn, type NamedColumns } from "./columns.ts";
import {
  answerIn,
  complete,
  type Example,
  hintOf,
  type ParsedRow,
  type ParseOptions,
  withNotes,
  withTerms,
} from "./examples.ts";
import { translateRow } from "./exports/translate.ts";
import { malformed, messagesIn, plainRow, stringIn, tokenIdsIn, toolsIn } from "./fields.ts";
import {
  ASSISTANT,
  splitConversation,
  splitDialogue,
  splitMessagesLikeTrl,
  splitTextLikeTrl,
} from "./prompt_boundary.ts";
import { pairsOf } from "./ranked_answers.ts";
import { checkRepeated, withoutRepeatedText, withoutRepeatedTurns } from "./repeated_prompts.ts";
import type { DatasetRow } from "./rows.ts";

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
 * - the exports of tools, see `exports/translate.ts`.
 *
 * Answers of a list on a side are equally good. `tools` beside messages are for the chat template. Null is absent.
 *
 * @throws {UserError} If the row has none of these shapes; the message names file and line.
 */
export function parsePair(row: DatasetRow, options: ParseOptions = {}): ParsedRow {
  const plain = plainRow(row);
  const parsed = parsePlain(plain, options);
  const { example } = parsed;
  const isOther = ([first]: Message[]) => first !== undefined && first.role !== "assistant";
  return withTerms(
    row,
    example?.kind === "messages" && example.completions.some(isOther)
      ? withNotes(parsed, ["otherSpeakers"])
      : parsed,
    options,
  );
}

/** Whether a row is preference data, of whatever shape. */
export function isPairRow(row: DatasetRow, columns: NamedColumns = {}): boolean {
  const plain = plainRow(row);
  const { chosen, rejected } = findColumns(plain, columns);
  return chosen !== undefined || rejected !== undefined ||
    PAIR_KEYS.some((key) => key in plain.value) || translateRow(plain, "best-worst") !== null;
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
  const rule = options.rankedPairs ?? "best-worst";
  const translated = named.chosen || named.rejected ? null : translateRow(row, rule);
  if (translated === null) {
    if (found.chosen === undefined && found.rejected === undefined && "label" in row.value) {
      throw malformed(
        row,
        '"chosen" and "rejected"',
        'an answer with a "label": train on single answers with --loss-type kto',
      );
    }
    return parseColumns(row, found, options);
  }
  const { format, columns, pairs, ties, answers } = translated;
  if (pairs.length === 0) {
    return { format, columns, example: null, translated: true, ...withTies(ties) };
  }
  const parsed = joined(pairs.map((value) => {
    const there = { where: row.where, value };
    return parseColumns(there, findColumns(there, named), options);
  }));
  const used = [...columns, ...parsed.columns.filter((column) => column in row.value)];
  return withNotes(
    {
      ...parsed,
      format,
      columns: [...new Set(used)],
      translated: true,
      ...withTies(ties + (parsed.ties ?? 0)),
    },
    answers > 2 ? ["severalAnswers"] : [],
  );
}

/** The pairs of a row as one row's. */
function joined([first, ...others]: ParsedRow[]): ParsedRow {
  if (others.length === 0) return first;
  const examples = [first, ...others].flatMap(({ example, others = [] }) => [example!, ...others]);
  return withNotes(
    { ...first, example: examples[0], others: examples.slice(1) },
    others.flatMap(({ notes = [] }) => notes),
  );
}

const withTies = (ties: number) => ties === 0 ? {} : { ties };

/** Understands a row by what its columns are for. */
function parseColumns(row: DatasetRow, found: FoundColumns, options: ParseOptions): ParsedRow {
  const { chosen = "chosen", rejected = "rejected" } = found;
  const lists = [chosen, rejected].map((column) => answersIn(row, column));
  if (!lists.some((list) => list.length > 1)) return parseOnePair(row, found, options, lists);
  const sides = lists.map((list, i) => list.length > 0 ? list : [row.value[[chosen, rejected][i]]]);
  const ranked = sides.flatMap((list, i) => list.map((answer) => ({ answer, rating: -i })));
  const { pairs, ties } = pairsOf(ranked, options.rankedPairs ?? "best-worst");
  const parsed = pairs.map((pair) =>
    parseOnePair(row, found, options, [[pair.chosen], [pair.rejected]])
  );
  return withNotes({ ...joined(parsed), ...withTies(ties) }, ["severalAnswers"]);
}

/** @param lists One answer for each side; none where its column is no list of answers. */
function parseOnePair(
  given: DatasetRow,
  found: FoundColumns,
  { columns: named = {}, promptBoundary = "turns" }: ParseOptions,
  lists: readonly (readonly unknown[])[],
): ParsedRow {
  const { prompt, chosen = "chosen", rejected = "rejected", system, input } = found;
  const value = { ...given.value };
  for (const [i, column] of [chosen, rejected].entries()) {
    if (lists[i].length > 0) value[column] = lists[i][0];
  }
  const row = { ...given, value };
  const [valueA, valueB] = [row.value[chosen], row.value[rejected]];
  const columns = [prompt, chosen, rejected, system, input].filter((column) =>
    column !== undefined
  );
  const understood = (format: string, example: Example): ParsedRow =>
    complete({ format: format + renamed(found), example, columns }, row, found);
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

/** The answers of a side that is a list of them, strings or message lists; none of others. */
function answersIn(row: DatasetRow, column: string): unknown[] {
  const list = row.value[column];
  if (!Array.isArray(list)) return [];
  const isSeveral = list.every((item) => typeof item === "string") || list.every(Array.isArray);
  return isSeveral ? list : [];
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
