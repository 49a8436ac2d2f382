// This module is browser compatible.

import type { TextTokenizer } from "../text/tokenizer.ts";
import { parseAnswer } from "./answer_rows.ts";
import { type EncodedExample, encodeRow, encodingInWords } from "./encode.ts";
import { isPairRow, parsePair } from "./pair_rows.ts";
import { parseSequence } from "./text_rows.ts";
import { checkVocabulary, type DataOptions, fit } from "./prepare.ts";
import type { DropReason, RowNote } from "./prepared.ts";
import type { DatasetRow } from "./rows.ts";

/** A token as the model will see it, or not. */
export interface InspectedToken {
  id: number;
  /** Its text; where it is a part of a character, its spelling in the vocabulary; "" without tokenizer. */
  text: string;
  part: "prompt" | "completion";
  /** What truncation makes of it. */
  cut: boolean;
  /** Whether its log-probability counts. */
  scored: boolean;
}

/** One side of a row. */
export interface InspectedSequence {
  name: "chosen" | "rejected" | "completion";
  tokens: InspectedToken[];
}

/** What the model will see of a row. */
export interface InspectedRow {
  where: string;
  /** The shape of the row, in words. */
  format: string;
  /** How it became tokens, in words. */
  encoding: string;
  /** Why training leaves the row out, or null. */
  dropped: DropReason | null;
  /** Whether the prompt had to give tokens to the completion because they reach across the boundary. */
  boundaryMerged: boolean;
  /** What is odd about it. */
  notes: RowNote[];
  /** Of a single answer: whether it is good. */
  label?: boolean;
  sequences: InspectedSequence[];
}

/**
 * Shows what the model will see of a row, preference data or not: every token, where the prompt ends, what is cut, and
 * which tokens count. It takes the same path as training.
 *
 * @throws {UserError} If the row is malformed, or has tokens beyond the vocabulary.
 */
export function inspectRow(
  row: DatasetRow,
  tokenizer: TextTokenizer | null,
  options: DataOptions,
): InspectedRow {
  const isPair = isPairRow(row, options.columns);
  const parse = isPair
    ? parsePair
    : typeof row.value.label === "boolean"
    ? parseAnswer
    : parseSequence;
  const { example, others = [], format, notes = [], additions = [], terms } = parse(row, options);
  const shape = additions.length > 0 ? `${format}, with ${additions.join(", ")}` : format;
  if (example === null) {
    return {
      where: row.where,
      format: shape,
      encoding: "",
      dropped: "droppedWithoutPreference",
      boundaryMerged: false,
      notes,
      sequences: [],
    };
  }
  const names = isPair ? ["chosen", "rejected"] as const : ["completion"] as const;
  const inspected = [example, ...others].map((one) => {
    const encoded = encodeRow({ example: one, where: row.where }, tokenizer, options);
    return { encoded, ...inspectEncoded(encoded, row.where, names, tokenizer, options) };
  });
  const isAny = (of: (encoded: EncodedExample) => boolean | undefined) =>
    inspected.some(({ encoded }) => of(encoded));
  return {
    where: row.where,
    format: shape,
    encoding: encodingInWords(example.kind, tokenizer, options),
    dropped: inspected.every(({ dropped }) => dropped !== null) ? inspected[0].dropped : null,
    boundaryMerged: isAny(({ boundaryMerged }) => boundaryMerged),
    notes: [
      ...notes,
      ...isAny(({ lostInTemplate }) => lostInTemplate) ? ["lostInTemplate" as const] : [],
      ...isAny(({ openingDropped }) => openingDropped) ? ["openingDropped" as const] : [],
    ],
    ...terms?.label === undefined ? {} : { label: terms.label },
    sequences: inspected.flatMap(({ sequences }) => sequences),
  };
}

/** The tokens of one pair or text, and why it is left out. */
function inspectEncoded(
  encoded: EncodedExample,
  where: string,
  names: readonly InspectedSequence["name"][],
  tokenizer: TextTokenizer | null,
  options: DataOptions,
): Pick<InspectedRow, "dropped" | "sequences"> {
  checkVocabulary(encoded.sequences, options.vocabSize, where);
  // Cutting a list of positions tells which positions are left.
  const positions = encoded.sequences.map(({ ids, promptLength }) => ({
    ids: ids.map((_, position) => position),
    promptLength,
  }));
  const kept = fit({ ...encoded, sequences: positions }, options);
  const dropped = typeof kept === "string" ? kept : null;
  const sequences = encoded.sequences.map(({ ids, promptLength }, side): InspectedSequence => {
    const left = typeof kept === "string" ? [] : [...kept[side].ids];
    const firstScored = options.score === "all" || typeof kept === "string"
      ? 1
      : kept[side].promptLength;
    const scored = new Set(left.slice(firstScored));
    const whole = new Set(left);
    const tokens = Array.from(ids, (id, position): InspectedToken => ({
      id,
      text: tokenizer === null ? "" : tokenText(tokenizer, id),
      part: position < promptLength ? "prompt" : "completion",
      cut: dropped === null && !whole.has(position),
      scored: scored.has(position),
    }));
    return { name: names[side], tokens };
  });
  return { dropped, sequences };
}

function tokenText(tokenizer: TextTokenizer, id: number): string {
  const text = tokenizer.decode([id]);
  return text.includes("\ufffd") ? tokenizer.token(id) : text;
}
