// This module is browser compatible.
import type { TextTokenizer } from "./tokenizer.ts";

const isPrintable = (byte: number) =>
  byte >= 0x21 && byte <= 0x7e || byte >= 0xa1 && byte <= 0xac || byte >= 0xae;

/**
 * GPT-2's alphabet of bytes: printable ones spell themselves, the others are U+0100 and on, in order (Radford et al. 2019).
 */
const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const letters = new Map<string, number>();
  let others = 0;
  for (let byte = 0; byte < 256; byte++) {
    letters.set(String.fromCodePoint(isPrintable(byte) ? byte : 256 + others++), byte);
  }
  return letters;
})();

/** @returns The bytes of a token's text; those of a byte-level token may be a part of a character. */
export function tokenBytes(tokenizer: TextTokenizer, id: number): Uint8Array<ArrayBuffer> {
  const text = tokenizer.decode([id]);
  if (!text.includes("\ufffd")) return new TextEncoder().encode(text);
  const bytes = [...tokenizer.token(id)].map((letter) => BYTE_OF.get(letter));
  return bytes.includes(undefined)
    ? new TextEncoder().encode(text)
    : Uint8Array.from(bytes as number[]);
}

/** @returns A token's text, or as `bytes:\xe2\x82` where it is no whole character. Different tokens stay different. */
export function tokenText(tokenizer: TextTokenizer, id: number): string {
  const text = tokenizer.decode([id]);
  if (!text.includes("\ufffd")) return text;
  return `bytes:${
    Array.from(tokenBytes(tokenizer, id), (byte) => `\\x${byte.toString(16).padStart(2, "0")}`)
      .join("")
  }`;
}
