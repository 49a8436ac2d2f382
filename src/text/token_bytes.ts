// This module is browser compatible.

/** What texts of tokens are asked of. */
interface Vocabulary {
  decode(ids: readonly number[]): string;
  token(id: number): string;
}

/**
 * The character that stands for each byte in a byte-level vocabulary: printable ones for themselves, U+0100 and on for the others,
 * in order (Radford et al. 2019, GPT-2).
 */
export const BYTE_ALPHABET: readonly string[] = byteAlphabet();
/** The byte that each of these characters stands for. */
export const BYTE_OF: ReadonlyMap<string, number> = new Map(
  BYTE_ALPHABET.map((letter, byte) => [letter, byte]),
);

function byteAlphabet(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = byte >= 0x21 && byte <= 0x7e || byte >= 0xa1 && byte !== 0xad;
    return String.fromCharCode(isPrintable ? byte : next++);
  });
}

/** @returns The bytes of a token's text; those of a byte-level token may be a part of a character. */
export function tokenBytes(tokenizer: Vocabulary, id: number): Uint8Array<ArrayBuffer> {
  const text = tokenizer.decode([id]);
  if (!text.includes("\ufffd")) return new TextEncoder().encode(text);
  const bytes = [...tokenizer.token(id)].map((letter) => BYTE_OF.get(letter));
  return bytes.includes(undefined)
    ? new TextEncoder().encode(text)
    : Uint8Array.from(bytes as number[]);
}

/** @returns A token's text, or as `bytes:\xe2\x82` where it is no whole character. Different tokens stay different. */
export function tokenText(tokenizer: Vocabulary, id: number): string {
  const text = tokenizer.decode([id]);
  if (!text.includes("\ufffd")) return text;
  return `bytes:${
    Array.from(tokenBytes(tokenizer, id), (byte) => `\\x${byte.toString(16).padStart(2, "0")}`)
      .join("")
  }`;
}
