// This module is browser compatible.
import { BYTE_ALPHABET } from "../token_bytes.ts";
import type { Component } from "./component.ts";
import { precompiledOf } from "./precompiled.ts";
import { matches, patternOf, replaceAll, SPACE } from "./patterns.ts";

/** A piece of a text. */
export interface Piece {
  text: string;
  /** Whether it begins with what the whole text begins with. */
  isFirst: boolean;
}

/** Changes a text before it is cut into pieces. */
export type Normalizer = (piece: Piece) => Piece;

const TYPES = [
  ...["Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Replace"],
  ...["Prepend", "ByteLevel", "Precompiled"],
];

const LEADING_SPACE = new RegExp(`^${SPACE}+`, "u");
const TRAILING_SPACE = new RegExp(`${SPACE}+$`, "u");
const encoder = new TextEncoder();

/**
 * A `normalizer` of `tokenizer.json`.
 *
 * @throws {UserError} If its type or an option is not known to give what Hugging Face's tokenizers give.
 */
export function normalizerOf(component: Component): Normalizer {
  const normalizer = build(component);
  component.end();
  return normalizer;
}

function build(component: Component): Normalizer {
  switch (component.type) {
    case "Sequence": {
      const parts = component.parts("normalizers").map(normalizerOf);
      return (piece) => parts.reduce((piece, part) => part(piece), piece);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = component.type;
      return changing((text) => text.normalize(form));
    }
    case "Lowercase": // character by character: Rust knows no final sigma here
      return changing((text) => Array.from(text, (c) => c.toLowerCase()).join(""));
    case "Strip": {
      const left = component.flag("strip_left", true);
      const right = component.flag("strip_right", true);
      return ({ text, isFirst }) => {
        const begun = left ? text.replace(LEADING_SPACE, "") : text;
        return {
          text: right ? begun.replace(TRAILING_SPACE, "") : begun,
          isFirst: isFirst && begun.length === text.length,
        };
      };
    }
    case "StripAccents":
      return ({ text, isFirst }) => ({
        text: text.replaceAll(/\p{M}/gu, ""),
        isFirst: isFirst && !/^\p{M}/u.test(text),
      });
    case "Replace":
      return replacing(component);
    case "Prepend": {
      const prefix = component.text("prepend");
      return changing((text) => text === "" ? "" : prefix + text);
    }
    case "ByteLevel":
      return changing(inByteAlphabet);
    case "Precompiled":
      return changing(precompiledOf(component));
    default:
      return component.refuseType(TYPES);
  }
}

/** A normalizer that leaves the beginning where it is. */
function changing(change: (text: string) => string): Normalizer {
  return ({ text, isFirst }) => ({ text: change(text), isFirst });
}

function replacing(component: Component): Normalizer {
  const pattern = patternOf(component);
  const content = component.text("content");
  return ({ text, isFirst }) => {
    const found = matches(text, pattern);
    // For these, the original inserts the content more often than it says.
    if (found.some(({ start, end }) => start === end)) {
      component.refuse("pattern", "one that never matches the empty text");
    }
    // What replaces several characters counts as standing where the last of them stood.
    const [head] = found;
    const isMoved = head?.matched &&
      (content === "" || [...text.slice(head.start, head.end)].length > 1);
    return { text: replaceAll(text, pattern, content), isFirst: isFirst && !isMoved };
  };
}

/** The bytes of a text, a character of GPT-2's alphabet each. */
export function inByteAlphabet(text: string): string {
  return Array.from(encoder.encode(text), (byte) => BYTE_ALPHABET[byte]).join("");
}
