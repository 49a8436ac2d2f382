// This module is browser compatible.

import { isObject } from "../formats/json.ts";
import { BYTE_ALPHABET } from "./token_bytes.ts";

/** How GPT-2 cuts text into pieces before merging; what `ByteLevel` with `use_regex` does. */
const GPT2_PIECES = String
  .raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/**
 * Rewrites the `pre_tokenizer` of a `tokenizer.json` so that `@huggingface/tokenizers` 0.2.0 gives the ids of the
 * original in Rust. Three things differ there:
 *
 * - `Digits` knows only 0 to 9 where the original takes every numeric character;
 * - `ByteLevel` uses JavaScript's `\s`, which lacks U+0085 and has U+FEFF;
 * - bytes that the vocabulary lacks are dropped after merging, not before, so that their neighbours do not meet.
 *
 * `Split` translates its pattern correctly, so it replaces the first two; a `Replace` takes the missing bytes out.
 */
export function correctPreTokenizer(definition: unknown, model: Record<string, unknown>): unknown {
  if (!isObject(definition)) return definition;
  switch (definition.type) {
    case "Sequence":
      return sequence(
        (definition.pretokenizers as unknown[]).map((part) => correctPreTokenizer(part, model)),
      );
    case "Digits":
      return split(definition.individual_digits ? String.raw`\p{N}` : String.raw`\p{N}+`);
    case "ByteLevel": {
      const missing = missingBytes(model);
      const cut = definition.use_regex !== false;
      return sequence([
        ...(cut && definition.add_prefix_space ? [replace(String.raw`\A[^ ]`, " $&")] : []),
        ...(cut ? [split(GPT2_PIECES)] : []),
        { ...definition, use_regex: false, add_prefix_space: !cut && definition.add_prefix_space },
        ...(missing.length > 0 ? [replace(`[${missing.map(escape).join("")}]`, "")] : []),
      ]);
    }
    default:
      return definition;
  }
}

/** The bytes without an entry in the vocabulary, in GPT-2's alphabet; none where something stands for the unknown. */
function missingBytes({ vocab, unk_token, byte_fallback }: Record<string, unknown>): string[] {
  if (!isObject(vocab) || typeof unk_token === "string" || byte_fallback) return [];
  return BYTE_ALPHABET.filter((character) => !Object.hasOwn(vocab, character));
}

function escape(character: string): string {
  return String.raw`\u` + character.charCodeAt(0).toString(16).padStart(4, "0");
}

function sequence(pretokenizers: unknown[]): Record<string, unknown> {
  return { type: "Sequence", pretokenizers };
}

function split(regex: string): Record<string, unknown> {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}

function replace(regex: string, content: string): Record<string, unknown> {
  return { type: "Replace", pattern: { Regex: regex }, content };
}
