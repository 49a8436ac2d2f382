// This module is browser compatible.
import { BYTE_OF } from "../token_bytes.ts";
import type { Component } from "./component.ts";
import { patternOf, replaceAll } from "./patterns.ts";

/** Turns the spellings of tokens into texts, which together are the text. */
export type Decoder = (tokens: string[]) => string[];

const TYPES = [
  ...["Sequence", "ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Metaspace"],
  ...["BPEDecoder", "WordPiece"],
];

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/**
 * A `decoder` of `tokenizer.json`.
 *
 * @throws {UserError} If its type or an option is not known to give what Hugging Face's tokenizers give.
 */
export function decoderOf(component: Component): Decoder {
  const built = build(component);
  component.end();
  return built;
}

function build(component: Component): Decoder {
  switch (component.type) {
    case "Sequence": {
      const parts = component.parts("decoders").map(decoderOf);
      return (tokens) => parts.reduce((tokens, part) => part(tokens), tokens);
    }
    case "ByteLevel":
      component.ignore("add_prefix_space", "trim_offsets", "use_regex");
      return (tokens) => [decoder.decode(Uint8Array.from(tokens.flatMap(alphabetBytes)))];
    case "ByteFallback":
      return byteFallback;
    case "Fuse":
      return (tokens) => [tokens.join("")];
    case "Strip": {
      const content = component.character("content");
      const start = component.count("start");
      const stop = component.count("stop");
      return (tokens) => tokens.map((token) => strip([...token], content, start, stop));
    }
    case "Replace": {
      const pattern = patternOf(component);
      const content = component.text("content");
      return (tokens) => tokens.map((token) => replaceAll(token, pattern, content));
    }
    case "Metaspace": {
      const mark = component.character("replacement");
      const scheme = component.oneOf(
        "prepend_scheme",
        ["always", "first", "never"],
        component.flag("add_prefix_space", true) ? "always" : "never",
      );
      component.ignore("str_rep", "split");
      return (tokens) =>
        tokens.map((token, i) => token.replaceAll(mark, i === 0 && scheme !== "never" ? "" : " "));
    }
    case "BPEDecoder": {
      const suffix = component.text("suffix", "</w>");
      if (suffix === "") component.refuse("suffix", "a text that is not empty");
      return (tokens) =>
        tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
    }
    case "WordPiece": {
      const prefix = component.text("prefix", "##");
      const cleanup = component.flag("cleanup", true);
      return (tokens) =>
        tokens.map((token, i) => {
          const joined = i === 0
            ? token
            : token.startsWith(prefix)
            ? token.slice(prefix.length)
            : ` ${token}`;
          return cleanup ? withoutBlanks(joined) : joined;
        });
    }
    default:
      return component.refuseType(TYPES);
  }
}

function alphabetBytes(token: string): number[] {
  const bytes = Array.from(token, (letter) => BYTE_OF.get(letter));
  return bytes.includes(undefined) ? Array.from(encoder.encode(token)) : bytes as number[];
}

/** Tokens such as `<0xE2>` are bytes; bytes in a row that are no UTF-8 become U+FFFD, one each. */
function byteFallback(tokens: string[]): string[] {
  const texts: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length > 0) texts.push(...textsOf(bytes));
    bytes = [];
  };
  for (const token of tokens) {
    const [, hex] = /^<0x([0-9A-Fa-f]{2})>$/.exec(token) ?? [];
    if (hex !== undefined) bytes.push(parseInt(hex, 16));
    else {
      flush();
      texts.push(token);
    }
  }
  flush();
  return texts;
}

function textsOf(bytes: number[]): string[] {
  try {
    return [strictDecoder.decode(Uint8Array.from(bytes))];
  } catch {
    return bytes.map(() => "\ufffd");
  }
}

/** Takes off up to so many characters at both ends, as long as they are `content`. */
function strip(characters: string[], content: string, start: number, stop: number): string {
  let from = 0;
  while (from < Math.min(start, characters.length) && characters[from] === content) from++;
  let to = characters.length;
  while (to > 0 && characters.length - to < stop && characters[to - 1] === content) to--;
  return characters.slice(from, Math.max(from, to)).join("");
}

/** English without the blanks that cutting it into words has left. */
function withoutBlanks(text: string): string {
  return text
    .replaceAll(" .", ".").replaceAll(" ?", "?").replaceAll(" !", "!").replaceAll(" ,", ",")
    .replaceAll(" ' ", "'").replaceAll(" n't", "n't").replaceAll(" 'm", "'m")
    .replaceAll(" do not", " don't").replaceAll(" 's", "'s").replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}
