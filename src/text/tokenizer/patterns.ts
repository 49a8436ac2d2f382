// This module is browser compatible.
import { SplitPreTokenizer } from "@huggingface/tokenizers"; // which translates Oniguruma's regular expressions
import type { Component } from "./component.ts";
import { isObject } from "../../formats/json.ts";

/** A stretch of a text, in UTF-16 code units, and whether a pattern matched it. */
export interface Stretch {
  start: number;
  end: number;
  matched: boolean;
}

/** What becomes of the stretches that a pattern matched, as Hugging Face's tokenizers call it. */
export const BEHAVIORS = [
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
] as const;
export type Behavior = typeof BEHAVIORS[number];

/** White space as Rust and Python have it; JavaScript's `\s` lacks U+0085 and has U+FEFF. */
export const SPACE = String.raw`\p{White_Space}`;
/** What Rust's `regex` calls a word character, to stand within brackets. */
export const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;

/** What JavaScript has not, or has in another way: groups of some kinds, the place where a search began. */
const UNLIKE = /\(\?(?!:|=|!|<=|<!|i:|<[A-Za-z_])|\\G/;

/**
 * The `pattern` of a component as a regular expression with the flags `gu`.
 *
 * @returns null for the empty text, which splits nothing.
 * @throws {UserError} If it cannot be said in JavaScript.
 */
export function patternOf(component: Component): RegExp | null {
  const pattern = component.object("pattern");
  const refuse = (expected: string): never => component.refuse("pattern", expected);
  if (!isObject(pattern) || Object.keys(pattern).length !== 1) {
    return refuse("a String or a Regex");
  }
  const { String: text, Regex: regex } = pattern;
  if (typeof text === "string") {
    return text === "" ? null : new RegExp(RegExp.escape(text), "gu");
  }
  if (typeof regex !== "string") return refuse("a String or a Regex");
  const unknown = UNLIKE.exec(regex.replaceAll(/\\[^G]/gsu, "  "));
  if (unknown) {
    return refuse(`a Regex without "${regex.slice(unknown.index, unknown.index + 4)}"`);
  }
  const whole = completed(regex, refuse);
  try {
    return new SplitPreTokenizer({
      type: "Split",
      pattern: { Regex: whole },
      behavior: "Isolated",
      invert: false,
    }).pattern;
  } catch (error) {
    return refuse(`a Regex that JavaScript has too (${(error as Error).message})`);
  }
}

/** Letters beyond ASCII that a letter of ASCII stands for where case does not count. */
const RARE_CASES: Record<string, string> = { s: "ſ", k: "\u212a" };
/** Letters that together stand for one where case does not count. */
const LIGATURES = /^(?:ss|st|ff|fi|fl)/i;

/**
 * Rewrites what the translation of Oniguruma's regular expressions leaves out: `(?i:` means letters beyond ASCII too, and
 * `?+`, `*+` and `++` give nothing back that they have matched.
 *
 * @param refuse Called where more would be needed than a letter.
 */
function completed(regex: string, refuse: (expected: string) => never): string {
  const groups: { folds: boolean; start: number }[] = [];
  let folds = false;
  let out = "";
  /** Where the last atom begins, and whether it has a quantifier. */
  let atom = 0, isQuantified = false, possessive = 0;
  for (let i = 0; i < regex.length;) {
    const rest = regex.slice(i);
    const [token] = TOKEN.exec(rest)!;
    i += token.length;
    if (/^[?*+]$/.test(token)) {
      if (token === "+" && isQuantified) {
        const name = `possessive${possessive++}`;
        out = `${out.slice(0, atom)}(?:(?=(?<${name}>${out.slice(atom)}))\\k<${name}>)`;
      } else {
        out += token;
      }
      isQuantified = !isQuantified;
      continue;
    }
    isQuantified = false;
    if (token === ")") {
      const group = groups.pop();
      atom = group?.start ?? 0;
      folds = group?.folds ?? false;
      out += token;
      continue;
    }
    if (/^\{\d*,?\d*\}$/.test(token)) {
      out += token;
      continue;
    }
    atom = out.length;
    if (token.startsWith("(")) {
      groups.push({ folds, start: atom });
      folds ||= token === "(?i:";
      out += token;
    } else if (token === "[") {
      const characters = classAt(rest);
      i += characters.length - 1;
      out += folds ? widenedClass(characters, refuse) : characters;
    } else {
      out += folds ? widened(token, rest, refuse) : token;
    }
  }
  return out;
}

const TOKEN =
  /^(?:\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|\((?:\?(?:i:|[:=!]|<[=!]|<\w+>))?|\{\d+(?:,\d*)?\}|[^])/su;

function widenedClass(characters: string, refuse: (expected: string) => never): string {
  if (!/^\[[\w' ]+\]$/.test(characters)) {
    return refuse(`a Regex without ${characters} where case does not count`);
  }
  const rare = Object.keys(RARE_CASES).filter((letter) =>
    characters.toLowerCase().includes(letter)
  );
  return characters.slice(0, -1) + rare.map((letter) => RARE_CASES[letter]).join("") + "]";
}

function widened(token: string, rest: string, refuse: (expected: string) => never): string {
  if (LIGATURES.test(rest) || /[^\0-\x7f]/.test(token)) {
    return refuse(`a Regex without "${rest.slice(0, 2)}" where case does not count`);
  }
  const letter = token.toLowerCase();
  return letter in RARE_CASES ? `[${letter}${letter.toUpperCase()}${RARE_CASES[letter]}]` : token;
}

/** The class of characters that an expression begins with, classes within it included. */
function classAt(regex: string): string {
  let depth = 0;
  for (const { 0: token, index } of regex.matchAll(/\\.|[[\]]/gsu)) {
    if (token === "[") depth++;
    // A bracket that comes first within a class is one of its characters.
    else if (token === "]" && !/\[\^?$/.test(regex.slice(0, index))) depth--;
    if (depth === 0) return regex.slice(0, index + 1);
  }
  return regex;
}

/** All of a text in order: what a pattern matches, and what is between. */
export function matches(text: string, pattern: RegExp | null): Stretch[] {
  const stretches: Stretch[] = [];
  let end = 0;
  let last = -1;
  for (const { 0: found, index } of pattern === null ? [] : text.matchAll(pattern)) {
    // Oniguruma's search takes no empty match at the end of the one before.
    if (found === "" && index === last) continue;
    if (end !== index) stretches.push({ start: end, end: index, matched: false });
    last = end = index + found.length;
    stretches.push({ start: index, end, matched: true });
  }
  if (end !== text.length) stretches.push({ start: end, end: text.length, matched: false });
  return stretches;
}

/** Divides a text at what a pattern matched. No piece is empty. */
export function divide(stretches: Stretch[], behavior: Behavior): Stretch[] {
  return merge(stretches, behavior).filter(({ start, end }) => start < end);
}

function merge(stretches: Stretch[], behavior: Behavior): Stretch[] {
  switch (behavior) {
    case "Removed":
      return stretches.filter(({ matched }) => !matched);
    case "Isolated":
      return stretches;
    case "Contiguous":
      return join(stretches, (matched, previous) => matched === previous);
    case "MergedWithPrevious":
      return join(stretches, (matched, previous) => matched && !previous);
    case "MergedWithNext":
      return join(stretches.toReversed(), (matched, previous) => matched && !previous).reverse();
  }
}

/** Joins neighbours, of which the first counts as preceded by no match. */
function join(
  stretches: Stretch[],
  belongs: (matched: boolean, previous: boolean) => boolean,
): Stretch[] {
  const joined: Stretch[] = [];
  let previous = false;
  for (const stretch of stretches) {
    const last = joined.at(-1);
    if (last && belongs(stretch.matched, previous)) {
      last.start = Math.min(last.start, stretch.start);
      last.end = Math.max(last.end, stretch.end);
    } else {
      joined.push({ ...stretch });
    }
    previous = stretch.matched;
  }
  return joined;
}

/** Replaces what a pattern matches; `content` is taken as it is. */
export function replaceAll(text: string, pattern: RegExp | null, content: string): string {
  return matches(text, pattern)
    .map(({ start, end, matched }) => matched ? content : text.slice(start, end))
    .join("");
}
