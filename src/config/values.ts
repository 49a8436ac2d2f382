// This module is browser compatible.
import { distance } from "fastest-levenshtein";
import { UserError } from "../errors.ts";
import type { ChoicesOption, Command, NumberOption, OptionSpec } from "./kinds.ts";
import { type OptionName, OPTIONS, SECTIONS } from "./options.ts";
import { whyOnlyInTrl } from "./trl_keys.ts";

const SPECS: Readonly<Record<OptionName, OptionSpec>> = OPTIONS;

/** @returns What the table says of an option, without its exact type. */
export function specOf(name: OptionName): OptionSpec {
  return SPECS[name];
}

/** Whether an option belongs to a command; a sweep has all of `train` besides its own. */
function belongsTo(name: OptionName, command: Command): boolean {
  const { commands } = SPECS[name];
  return commands.includes(command) || command === "sweep" && commands.includes("train");
}

/** @returns The names of a command's options in the order of the table. */
export function optionNames(command: Command): OptionName[] {
  return (Object.keys(SPECS) as OptionName[]).filter((name) => belongsTo(name, command));
}

/** @returns A command's options by section; sections without any are left out. */
export function optionSections(command: Command): { title: string; names: OptionName[] }[] {
  return Object.entries(SECTIONS)
    .map(([title, options]) => ({
      title,
      names: (Object.keys(options) as OptionName[]).filter((name) => belongsTo(name, command)),
    }))
    .filter(({ names }) => names.length > 0);
}

/** @returns `learning-rate` for `learningRate`, `learning_rate` or itself. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replaceAll("_", "-");
}

/** @returns `learning_rate` for `learningRate`, as requests have it. */
export function snakeCase(name: string): string {
  return kebabCase(name).replaceAll("-", "_");
}

/**
 * @param command The command it is given to.
 * @param spelling A name in camel, snake or kebab case, or an alias, without dashes before it.
 * @param label How to show it in an error: `--beta`, `"beta" in run.json`.
 * @throws {UserError} If no option is called so, or none of this command; with the nearest name.
 */
export function findOption(command: Command, spelling: string, label: string): OptionName {
  const wanted = kebabCase(spelling);
  const found = optionCalled(spelling);
  if (found !== undefined && belongsTo(found, command)) return found;
  const why = found === undefined
    ? whyOnlyInTrl(snakeCase(spelling)) ??
      `did you mean --${nearestName(wanted, spellings(command))}?`
    : `that is an option of ${SPECS[found].commands.join(", ")}`;
  throw new UserError(
    `Expected an option of ${command}, found ${label}: ${why} (${command} --help lists them)`,
  );
}

/** @returns The option of that name or alias, whatever command it belongs to. */
export function optionCalled(spelling: string): OptionName | undefined {
  const wanted = kebabCase(spelling);
  return (Object.keys(SPECS) as OptionName[]).find((name) =>
    kebabCase(name) === wanted || SPECS[name].aliases?.includes(wanted)
  );
}

function spellings(command: Command): string[] {
  return optionNames(command).flatMap((name) => {
    const negated = SPECS[name].kind === "boolean" ? [`no-${kebabCase(name)}`] : [];
    return [kebabCase(name), ...negated, ...SPECS[name].aliases ?? []];
  });
}

/** @returns The candidate with the fewest letters to change. */
export function nearestName(word: string, candidates: readonly string[]): string {
  return candidates.reduce((best, candidate) =>
    distance(word, candidate) < distance(word, best) ? candidate : best
  );
}

/**
 * Reads the value of an option as flags, JSON files and requests give it.
 *
 * @param raw A string, or a value out of JSON.
 * @throws {UserError} If it is of the wrong type, out of bounds or not one of the choices.
 */
export function parseValue(name: OptionName, raw: unknown, label: string): unknown {
  const spec = SPECS[name];
  const value = raw === null && spec.default === null ? null : readAs(spec, raw);
  if (value === undefined) {
    const found = raw === undefined ? "nothing" : JSON.stringify(raw);
    throw new UserError(
      `Expected ${label} to be ${describe(spec)}, found ${found}${hint(spec, raw)}`,
    );
  }
  return value;
}

function hint(spec: OptionSpec, raw: unknown): string {
  if (spec.kind !== "choice" && spec.kind !== "choices") return "";
  const word = listOf(raw).find((word) => !spec.choices.some((choice) => choice === word));
  return typeof word === "string" ? `: did you mean ${nearestName(word, spec.choices)}?` : "";
}

function readAs(spec: OptionSpec, raw: unknown): unknown {
  switch (spec.kind) {
    case "text":
      return typeof raw === "string" && raw !== "" ? raw : undefined;
    case "choice":
      return spec.choices.find((choice) => choice === raw);
    case "datasets":
      return readDatasets(raw);
    case "choices":
      return readChoices(spec, raw);
    case "weights":
      return readWeights(raw);
    case "boolean":
      if (typeof raw === "boolean") return raw;
      return /^true$/i.test(String(raw)) ? true : /^false$/i.test(String(raw)) ? false : undefined;
    case "number":
      return spec.words?.find((word) => word === raw) ?? readNumber(spec, raw);
    case "integers":
      return readIntegers(raw);
  }
}

type Bounds = Pick<NumberOption, "integer" | "min" | "max" | "above" | "below">;

function readNumber(spec: Bounds, raw: unknown): number | undefined {
  if (typeof raw !== "number" && (typeof raw !== "string" || raw.trim() === "")) return undefined;
  const value = Number(raw);
  const { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity } = spec;
  const fits = Number.isFinite(value) && value >= min && value <= max &&
    value > above && value < below && (!spec.integer || Number.isSafeInteger(value));
  return fits ? value : undefined;
}

/** The items of a list: of a text what stands between commas. */
function listOf(raw: unknown): readonly unknown[] {
  if (typeof raw === "string") return raw.split(",").map((part) => part.trim());
  return Array.isArray(raw) ? raw : [raw];
}

function readIntegers(raw: unknown): number[] | undefined {
  const parts = listOf(raw);
  const whole = parts.length > 0 && parts.every((part) => /^\d{1,10}$/.test(String(part)));
  return whole ? parts.map(Number) : undefined;
}

function readWeights(raw: unknown): number[] | undefined {
  const weight = { integer: false, min: 0 };
  const parts = listOf(raw).map((part) => readNumber(weight, part));
  return parts.length > 0 && parts.every((part) => part !== undefined) ? parts : undefined;
}

function readChoices({ choices }: ChoicesOption, raw: unknown): string | undefined {
  const words = listOf(raw);
  const fits = words.length > 0 && new Set(words).size === words.length &&
    words.every((word) => choices.some((choice) => choice === word));
  return fits ? words.join(",") : undefined;
}

/** A dataset as it is written; of several, or of one with a name, an object with their names. */
function readDatasets(raw: unknown): string | Record<string, string> | undefined {
  if (Array.isArray(raw) && raw.length === 1) return readDatasets(raw[0]);
  const given: [name: string | undefined, path: unknown][] = Array.isArray(raw)
    ? raw.map(namedDataset)
    : typeof raw === "object" && raw !== null
    ? Object.entries(raw)
    : [namedDataset(raw)];
  const [[name, path]] = given.length > 0 ? given : [[]];
  if (given.length === 1 && name === undefined) {
    return typeof path === "string" && path !== "" ? path : undefined;
  }
  const sets = given.map(([name, path]) => [name ?? stemOf(path), path] as const);
  const fits = sets.length > 0 && new Set(sets.map(([name]) => name)).size === sets.length &&
    sets.every(([name, path]) => /^[\w.-]+$/.test(name) && typeof path === "string" && path !== "");
  return fits ? Object.fromEntries(sets) as Record<string, string> : undefined;
}

function namedDataset(raw: unknown): [name: string | undefined, path: unknown] {
  const [, name, path] = /^([\w.-]+)=(.+)$/s.exec(String(raw)) ?? [undefined, undefined, raw];
  return [name, path];
}

/** What a dataset is called that has no name: its file, without what follows the first dot. */
export function stemOf(path: unknown): string {
  return String(path).replace(/\[[^\]]*\]$/, "").split(/[/\\]/).findLast(Boolean)
    ?.replace(/\..*$/, "") ?? "";
}

/** @returns What values an option takes, as in "a number above 0". */
export function describe(spec: OptionSpec): string {
  switch (spec.kind) {
    case "text":
      return "a text";
    case "choice":
      return `one of ${spec.choices.join(", ")}`;
    case "datasets":
      return "a dataset, or several with a name each that no other has, such as NAME=PATH";
    case "choices":
      return `one of ${spec.choices.join(", ")}, or several with commas, each once`;
    case "weights":
      return "numbers of at least 0 separated by commas";
    case "boolean":
      return "true or false";
    case "number": {
      const limits = bounds(spec).join(" and ");
      const words = (spec.words ?? []).map((word) => `${word} or `).join("");
      return `${words}${spec.integer ? "a whole number" : "a number"} ${limits}`.trim();
    }
    case "integers":
      return "whole numbers separated by commas";
  }
}

/** @returns The bounds of a number in words: "at least 0", "below 1". */
export function bounds(spec: NumberOption): string[] {
  const named = {
    "at least": spec.min,
    "above": spec.above,
    "at most": spec.max,
    "below": spec.below,
  };
  return Object.entries(named)
    .filter(([, bound]) => bound !== undefined)
    .map(([word, bound]) => `${word} ${bound}`);
}
