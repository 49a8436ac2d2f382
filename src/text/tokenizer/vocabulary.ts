// This module is browser compatible.
import type { Component } from "./component.ts";

/** Finds tokens within a piece of text. */
export interface TokenModel {
  /** Token ids of a piece. */
  encode(piece: string): number[];
  /** Ids by token. */
  readonly vocabulary: ReadonlyMap<string, number>;
}

const encoder = new TextEncoder();
const BYTE_TOKENS = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

/** The `vocab` of a model: ids by token. */
export function vocabularyOf(component: Component): Map<string, number> {
  const entries = Object.entries(component.object("vocab"));
  const isId = (id: unknown) => Number.isSafeInteger(id) && Number(id) >= 0;
  if (!entries.every(([, id]) => isId(id))) component.refuse("vocab", "a whole number per token");
  return new Map(entries as [string, number][]);
}

/** The tokens of a text's bytes; null if one of them has none. */
export function byteTokens(
  text: string,
  vocabulary: ReadonlyMap<string, number>,
): number[] | null {
  const ids = Array.from(encoder.encode(text), (byte) => vocabulary.get(BYTE_TOKENS[byte]));
  return ids.includes(undefined) ? null : ids as number[];
}
