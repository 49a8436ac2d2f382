// This module is browser compatible.
import type { Component } from "./component.ts";
import { inByteAlphabet, type Piece } from "./normalizers.ts";
import {
  type Behavior,
  BEHAVIORS,
  divide,
  matches,
  patternOf,
  SPACE,
  type Stretch,
  WORD,
} from "./patterns.ts";

/** Cuts pieces into smaller ones. */
export type PreTokenizer = (pieces: Piece[]) => Piece[];

const TYPES = [
  ...["Sequence", "ByteLevel", "Split", "Whitespace", "WhitespaceSplit", "Digits", "Punctuation"],
  ...["CharDelimiterSplit", "Metaspace", "BertPreTokenizer"],
];

/** How GPT-2 cuts text into pieces before merging. */
const GPT2_PIECES = new RegExp(
  String
    .raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^${SPACE}\p{L}\p{N}]+|${SPACE}+(?!\P{White_Space})|${SPACE}+`,
  "gu",
);
const SPACES = new RegExp(SPACE, "gu");
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}${SPACE}]+`, "gu");
const NUMERIC = /\p{N}/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

/**
 * A `pre_tokenizer` of `tokenizer.json`.
 *
 * @param leads Whether nothing has cut the text before.
 * @throws {UserError} If its type or an option is not known to give what Hugging Face's tokenizers give.
 */
export function preTokenizerOf(component: Component, leads: boolean): PreTokenizer {
  const built = build(component, leads);
  component.end();
  return built;
}

function build(component: Component, leads: boolean): PreTokenizer {
  switch (component.type) {
    case "Sequence": {
      const parts = component.parts("pretokenizers")
        .map((part, i) => preTokenizerOf(part, leads && i === 0));
      return (pieces) => parts.reduce((pieces, part) => part(pieces), pieces);
    }
    case "ByteLevel":
      return byteLevel(component);
    case "Split": {
      const pattern = patternOf(component);
      const behavior = component.oneOf("behavior", BEHAVIORS);
      const invert = component.flag("invert", false);
      return cut((text) => {
        const found = matches(text, pattern);
        return invert && pattern !== null ? found.map(inverted) : found;
      }, behavior);
    }
    case "Whitespace":
      return cut((text) => matches(text, WORDS).map(inverted), "Removed");
    case "WhitespaceSplit":
      return cut((text) => matches(text, SPACES), "Removed");
    case "Digits":
      return cut(
        (text) => matches(text, NUMERIC),
        component.flag("individual_digits", false) ? "Isolated" : "Contiguous",
      );
    case "Punctuation":
      return cut(
        (text) => matches(text, PUNCTUATION),
        component.oneOf("behavior", BEHAVIORS, "Isolated"),
      );
    case "CharDelimiterSplit": {
      const delimiter = new RegExp(RegExp.escape(component.character("delimiter")), "gu");
      return cut((text) => matches(text, delimiter), "Removed");
    }
    case "Metaspace":
      return metaspace(component, leads);
    case "BertPreTokenizer": {
      const words = cut((text) => matches(text, SPACES), "Removed");
      const signs = cut((text) => matches(text, PUNCTUATION), "Isolated");
      return (pieces) => signs(words(pieces));
    }
    default:
      return component.refuseType(TYPES);
  }
}

function byteLevel(component: Component): PreTokenizer {
  const withSpace = component.flag("add_prefix_space", true);
  const withRegex = component.flag("use_regex", true);
  component.ignore("trim_offsets");
  const words = cut((text) => matches(text, GPT2_PIECES), "Isolated");
  return (pieces) => {
    const begun = withSpace
      ? pieces.map((piece) => ({
        ...piece,
        text: piece.text.startsWith(" ") ? piece.text : ` ${piece.text}`,
      }))
      : pieces;
    return (withRegex ? words(begun) : begun)
      .map((piece) => ({ ...piece, text: inByteAlphabet(piece.text) }));
  };
}

function metaspace(component: Component, leads: boolean): PreTokenizer {
  const mark = component.character("replacement");
  const addsSpace = component.flag("add_prefix_space", true);
  const scheme = component.oneOf(
    "prepend_scheme",
    ["always", "first", "never"],
    addsSpace ? "always" : "never",
  );
  if (!addsSpace && scheme !== "never") component.refuse("prepend_scheme", "never");
  if (scheme === "first" && !leads) {
    component.refuse("prepend_scheme", "always or never where something may cut the text before");
  }
  const splits = component.flag("split", true);
  component.ignore("str_rep");
  const marks = new RegExp(RegExp.escape(mark), "gu");
  const words = cut((text) => matches(text, marks), "MergedWithNext");
  return (pieces) => {
    const marked = pieces.map(({ text, isFirst }) => {
      const replaced = text.replaceAll(" ", () => mark);
      const prefixed = scheme === "always" || scheme === "first" && isFirst;
      return { text: prefixed && !replaced.startsWith(mark) ? mark + replaced : replaced, isFirst };
    });
    return splits ? words(marked) : marked;
  };
}

function inverted(stretch: Stretch): Stretch {
  return { ...stretch, matched: !stretch.matched };
}

function cut(find: (text: string) => Stretch[], behavior: Behavior): PreTokenizer {
  return (pieces) =>
    pieces.flatMap(({ text, isFirst }) =>
      divide(find(text), behavior).map(({ start, end }) => ({
        text: text.slice(start, end),
        isFirst: isFirst && start === 0,
      }))
    );
}
