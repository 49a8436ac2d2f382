// This module is browser compatible.

/**
 * Values of Jinja templates as Python prints, compares and changes them. `@huggingface/jinja` 0.5.11 does these as
 * JavaScript does, without a word.
 *
 * @module
 */

import { Environment, Interpreter } from "@huggingface/jinja";

export type Value = ReturnType<Interpreter["evaluate"]>;
type Constructor<Content> = new (value?: Content) => Value;

const samples = new Environment();
for (const [name, value] of Object.entries({ text: "", list: [], flag: true, call: () => null })) {
  samples.set(name, value);
}
/** The library does not export the classes of its values. */
const classOf = (name: string) => samples.lookupVariable(name).constructor;
const StringValue = classOf("text") as Constructor<string>;
const ArrayValue = classOf("list") as Constructor<Value[]>;
const BooleanValue = classOf("flag") as Constructor<boolean>;
const FunctionValue = classOf("call") as Constructor<(args: Value[]) => Value>;
const UndefinedValue = classOf("nothing") as Constructor<undefined>;
const IntegerValue = new Interpreter(samples)
  .evaluate(
    { type: "IntegerLiteral", value: 0 } as unknown as Parameters<Interpreter["evaluate"]>[0],
    samples,
  ).constructor as Constructor<number>;

export const text = (value: string): Value => new StringValue(value);
export const list = (items: Value[]): Value => new ArrayValue(items);
export const flag = (value: boolean): Value => new BooleanValue(value);
export const integer = (value: number): Value => new IntegerValue(value);
export const nothing = (): Value => new UndefinedValue();
const method = (call: (args: Value[]) => Value): Value => new FunctionValue(call);

export function isList({ type }: Value): boolean {
  return type === "ArrayValue" || type === "TupleValue";
}

/** `str(value)`. What is not defined is printed as nothing. */
export function str(value: Value): string {
  if (value.type === "StringValue") return value.value as string;
  return value.type === "UndefinedValue" ? "" : repr(value);
}

/** `repr(value)` */
function repr(value: Value): string {
  const content = value.value as unknown;
  switch (value.type) {
    case "StringValue":
      return quoted(content as string);
    case "BooleanValue":
      return content ? "True" : "False";
    case "NullValue":
      return "None";
    case "UndefinedValue":
      return "Undefined";
    case "IntegerValue":
      return String(content);
    case "FloatValue":
      return float(content as number);
    case "ArrayValue":
      return `[${(content as Value[]).map(repr).join(", ")}]`;
    case "TupleValue": {
      const items = (content as Value[]).map(repr);
      return `(${items.join(", ")}${items.length === 1 ? "," : ""})`;
    }
    case "ObjectValue":
      return mapping(content as Map<string, Value>);
    case "NamespaceValue":
      return `<Namespace ${mapping(content as Map<string, Value>)}>`;
  }
  throw new Error(`expected a value with a text of its own, found a ${value.type}`);
}

function mapping(entries: Map<string, Value>): string {
  return `{${Array.from(entries, ([key, value]) => `${quoted(key)}: ${repr(value)}`).join(", ")}}`;
}

function float(value: number): string {
  if (!Number.isFinite(value)) return String(value).toLowerCase().replace("infinity", "inf");
  const [digits, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16)) {
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  if (Object.is(value, -0)) return "-0.0";
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

const ESCAPES: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function quoted(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
  const inner = Array.from(value, (c) => {
    if (c === quote) return `\\${c}`;
    if (c in ESCAPES) return ESCAPES[c];
    if (c === " " || !/[\p{C}\p{Z}]/u.test(c)) return c;
    const code = c.codePointAt(0)!.toString(16);
    if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
    return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  });
  return quote + inner.join("") + quote;
}

/** `a == b` */
export function areEqual(a: Value, b: Value): boolean {
  const [left, right] = [a.value, b.value] as unknown[];
  if (isNumber(a) && isNumber(b)) return Number(left) === Number(right);
  if (a.type !== b.type) return false;
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, i) => areEqual(item, right[i]));
  }
  if (left instanceof Map && right instanceof Map && a.type === "ObjectValue") {
    return left.size === right.size &&
      [...left].every(([key, item]) => right.has(key) && areEqual(item, right.get(key)));
  }
  return left === right;
}

function isNumber({ type }: Value): boolean {
  return type === "IntegerValue" || type === "FloatValue" || type === "BooleanValue";
}

const SPACE = String.raw`[\p{White_Space}\x1c-\x1f]`;
const BEGINNING = new RegExp(`^${SPACE}+`, "u");
const END = new RegExp(`${SPACE}+$`, "u");

/** `strip`, `lstrip` and `rstrip` of a text; `chars` null: white space as Python has it. */
export function strip(
  value: string,
  sides: "both" | "left" | "right",
  chars: string | null = null,
) {
  if (chars === null) {
    const begun = sides === "right" ? value : value.replace(BEGINNING, "");
    return sides === "left" ? begun : begun.replace(END, "");
  }
  const characters = [...value];
  const set = new Set(chars);
  let [start, end] = [0, characters.length];
  while (sides !== "right" && start < end && set.has(characters[start])) start++;
  while (sides !== "left" && end > start && set.has(characters[end - 1])) end--;
  return characters.slice(start, end).join("");
}

/** Arguments of a method: texts, or None; no more than `most`. */
function texts(name: string, args: Value[], most: number, least = 0): (string | null)[] {
  const given = args.map((arg) => {
    if (arg.type === "StringValue") return arg.value as string;
    if (arg.type === "NullValue") return null;
    throw new Error(`expected texts for ${name}(), found a ${arg.type}`);
  });
  if (given.length >= least && given.length <= most) return given;
  throw new Error(`expected ${least} to ${most} arguments for ${name}(), found ${given.length}`);
}

/** The methods of a text that the library does not have, or has otherwise. */
export function methodsOf(value: string): [string, Value][] {
  const stripping = (name: string, sides: "both" | "left" | "right"): [string, Value] => [
    name,
    method((args) => text(strip(value, sides, texts(name, args, 1)[0] ?? null))),
  ];
  const plain = (name: string, change: () => string): [string, Value] => [
    name,
    method((args) => {
      texts(name, args, 0);
      return text(change());
    }),
  ];
  const asked = (name: string, answer: (part: string) => Value): [string, Value] => [
    name,
    method((args) => answer(texts(name, args, 1, 1)[0] ?? "")),
  ];
  const position = (units: number) => units < 0 ? -1 : [...value.slice(0, units)].length;
  return [
    stripping("strip", "both"),
    stripping("lstrip", "left"),
    stripping("rstrip", "right"),
    plain("capitalize", () => capitalize(value)),
    plain("title", () => value.replaceAll(/\p{L}+/gu, capitalize)),
    ["split", method((args) => split(value, args))],
    asked(
      "removeprefix",
      (part) => text(value.startsWith(part) ? value.slice(part.length) : value),
    ),
    asked(
      "removesuffix",
      (part) => text(part !== "" && value.endsWith(part) ? value.slice(0, -part.length) : value),
    ),
    asked("find", (part) => integer(position(value.indexOf(part)))),
    asked("rfind", (part) => integer(position(value.lastIndexOf(part)))),
    asked(
      "count",
      (part) => integer(part === "" ? [...value].length + 1 : value.split(part).length - 1),
    ),
  ];
}

/** `str.split(sep=None, maxsplit=-1)` */
function split(value: string, args: Value[]): Value {
  const most = args[1]?.value ?? -1;
  if (args.length > 2 || !Number.isInteger(most)) {
    throw new Error("expected a separator and a count for split(), found something else");
  }
  const [separator = null] = texts("split", args.slice(0, 1), 1);
  if (separator === "") throw new Error("expected a separator for split(), found an empty text");
  const limit = Number(most) < 0 ? Infinity : Number(most);
  const parts: string[] = [];
  let rest = separator === null ? strip(value, "left") : value;
  const gap = separator === null
    ? new RegExp(`${SPACE}+`, "u")
    : new RegExp(RegExp.escape(separator), "u");
  for (let found = gap.exec(rest); found && parts.length < limit; found = gap.exec(rest)) {
    parts.push(rest.slice(0, found.index));
    rest = rest.slice(found.index + found[0].length);
  }
  if (separator !== null || rest !== "") parts.push(rest);
  return list(parts.map(text));
}

function capitalize(word: string): string {
  const [first = "", ...rest] = word;
  return first.toUpperCase() + rest.join("").toLowerCase();
}
