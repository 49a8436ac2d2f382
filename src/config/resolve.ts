// This module is browser compatible.
/**
 * From what the user gave to the configuration of a run: defaults, then the preset, then the configuration file, then
 * flags; and last what follows from the rest, with its reason. Every value remembers where it came from.
 *
 * @module
 */
import { UserError } from "../errors.ts";
import type { Command } from "./kinds.ts";
import { decisiveTerms, refuseContradictions } from "./contradictions.ts";
import type { OptionName, Options, OptionValue } from "./options.ts";
import { givenByUser, type Origin, type Origins, type Values } from "./origins.ts";
import { PRESETS } from "./presets.ts";
import { trlContradiction, trlKey, withSchedulerKwargs } from "./trl_keys.ts";
import {
  findOption,
  kebabCase,
  optionCalled,
  optionNames,
  parseValue,
  snakeCase,
  specOf,
} from "./values.ts";

export { type Command, COMMANDS } from "./kinds.ts";
export type { OptionName, Options, OptionValue } from "./options.ts";
export type { Origin } from "./origins.ts";

/** A command's options, each with its origin. */
export interface Resolved<C extends Command = Command> {
  command: C;
  options: Options<C>;
  origins: Readonly<Record<string, Origin>>;
  /** Keys of the configuration file that change nothing here; see src/config/trl_keys.ts. */
  withoutEffect?: readonly string[];
}

/** What a user gave: option names as written, and strings or values out of JSON. */
export interface Given {
  flags?: Iterable<readonly [spelling: string, value: unknown]>;
  file?: { name: string; content: unknown };
}

/**
 * @param command Decides which options there are.
 * @param given Flags and the configuration file.
 * @param now For the name of a new run directory.
 * @throws {UserError} If an option is unknown, does not belong to the command, is given twice, has a wrong value, or
 * contradicts another.
 */
export function resolveOptions<C extends Command>(
  command: C,
  given: Given = {},
  now: Date = new Date(),
): Resolved<C> {
  const names = optionNames(command);
  const flags = readFlags(command, given.flags ?? []);
  const { options: file, withoutEffect } = given.file
    ? readFile(command, given.file)
    : { options: new Map<OptionName, unknown>(), withoutEffect: new Map<string, unknown>() };
  const presetName = (flags.get("preset") ?? file.get("preset") ?? null) as OptionValue<"preset">;
  const preset = presetName === null ? {} : PRESETS[presetName];

  const values: Values = {};
  const origins: Origins = {};
  for (const name of names) {
    const spec = specOf(name);
    if (flags.has(name)) {
      values[name] = flags.get(name);
      origins[name] = { source: "flag" };
    } else if (file.has(name)) {
      values[name] = file.get(name);
      origins[name] = { source: "file", detail: given.file!.name };
    } else if (name in preset) {
      values[name] = preset[name];
      origins[name] = { source: "preset", detail: presetName! };
    } else {
      values[name] = spec.defaults?.[command] ?? spec.default;
      origins[name] = { source: "default" };
    }
  }
  for (const [name, { value, because }] of automatic(command, values, origins, now)) {
    values[name] = value;
    origins[name] = { source: "automatic", detail: because };
  }
  refuseContradictions(values, origins);
  const keys = withoutEffect.entries().map(([name, value]) => [snakeCase(name), value] as const);
  const contradiction = trlContradiction(new Map(keys), values);
  if (contradiction) {
    const { expected, found } = contradiction;
    throw new UserError(`Expected ${expected}, found ${found} in ${given.file!.name}`);
  }
  // Every name of the command is set and every value went through its own parser or comes from a typed table.
  return {
    command,
    options: values as Options<C>,
    origins: origins as Record<OptionName, Origin>,
    withoutEffect: [...withoutEffect.keys()],
  };
}

/** Whether options would still go together if one of them had another value. */
export function accepts(
  { options, origins }: { options: Values; origins: Origins },
  name: OptionName,
  value: unknown,
): boolean {
  if (!(name in options)) return false;
  try {
    const values = { ...options, [name]: parseValue(name, value, name) };
    refuseContradictions(values, { ...origins, [name]: { source: "flag" } });
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

function readFlags(command: Command, flags: NonNullable<Given["flags"]>): Map<OptionName, unknown> {
  const read = new Map<OptionName, unknown>();
  const sets = new Map<OptionName, unknown[]>();
  for (const [spelling, raw] of flags) {
    const label = `--${spelling}`;
    const name = findOption(command, spelling, label);
    if (specOf(name).kind === "datasets") {
      sets.set(name, [...sets.get(name) ?? [], raw].flat());
      read.set(name, parseValue(name, raw instanceof Object ? raw : sets.get(name), label));
      continue;
    }
    if (read.has(name)) throw new UserError(`Expected --${kebabCase(name)} once, found it twice`);
    read.set(name, parseValue(name, raw, label));
  }
  return read;
}

function readFile(
  command: Command,
  { name: fileName, content }: NonNullable<Given["file"]>,
): { options: Map<OptionName, unknown>; withoutEffect: Map<string, unknown> } {
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new UserError(`Expected ${fileName} to hold options by name, such as "beta": 0.1`);
  }
  const read = new Map<OptionName, unknown>();
  const withoutEffect = new Map<string, unknown>();
  const unsupported: string[] = [];
  for (const [spelling, raw] of withSchedulerKwargs(content)) {
    const label = `"${spelling}" in ${fileName}`;
    const isTraining = command === "train" || command === "sweep" || command === "sft";
    const key = snakeCase(spelling);
    const isAsked = isTraining && (key === "report_to" || !optionCalled(spelling));
    const known = isAsked ? trlKey(key, raw) : null;
    if (known?.kind === "without effect") withoutEffect.set(spelling, raw);
    else if (known?.kind === "unsupported") {
      const expected = known.expected.map((value) => JSON.stringify(value)).join(" or ");
      unsupported.push(`${spelling}: ${JSON.stringify(raw)} (only ${expected})`);
    } else {
      const name = findOption(command, known?.kind === "renamed" ? known.to : spelling, label);
      if (name === "config") {
        throw new UserError(`Expected no configuration file within ${fileName}`);
      }
      if (read.has(name)) throw new UserError(`Expected ${label} once, found it in two spellings`);
      const value = known?.kind === "renamed" ? known.value ?? raw : raw;
      read.set(name, parseValue(name, value, label));
    }
  }
  if (unsupported.length > 0) {
    throw new UserError(
      `Expected settings of ${fileName} that ${command} supports, found ${unsupported.join(", ")}`,
    );
  }
  return { options: read, withoutEffect };
}

/** Yields what follows from other options, where the user has not said otherwise. */
function* automatic(
  command: Command,
  values: Values,
  origins: Origins,
  now: Date,
): Iterable<[OptionName, { value: unknown; because: string }]> {
  const isDefault = (name: OptionName) => origins[name]?.source === "default";
  const isGiven = (name: OptionName) => givenByUser(origins, name);
  if (command === "train") {
    if (isDefault("model") && isDefault("learningRate")) {
      const because = "the shipped model is small, and small models take larger steps";
      yield ["learningRate", { value: 5e-5, because }];
    }
    if (isDefault("dataset") && origins.filter?.source === "preset") {
      const because = "the shipped pairs are shorter and more alike than the filter's rules allow";
      yield ["filter", { value: "none", because }];
    }
    if (isDefault("dataset") && isDefault("evalDataset")) {
      const because = "held-out pairs of the shipped dataset";
      yield ["evalDataset", { value: "fixtures/pairs/eval.jsonl", because }];
    }
  }
  if ("lossType" in values && !isGiven("logprob") && values.logprob !== "mean") {
    const decisive = decisiveTerms(values);
    if (decisive.length > 0 && decisive.every(({ loss }) => loss.logprob === "mean")) {
      const names = decisive.map(({ type }) => type).join(" and ");
      const because = `TRL's ${names} ${decisive.length > 1 ? "are" : "is"} per token`;
      yield ["logprob", { value: "mean", because }];
    }
  }
  if (values.usePeft && isDefault("loraR")) {
    yield ["loraR", { value: 16, because: "TRL's default with --use-peft" }];
  }
  if (Number(values.loraR) > 0) {
    const because = "adapters train alone";
    if (!isGiven("trainLayers")) yield ["trainLayers", { value: 0, because }];
    if (!isGiven("head")) yield ["head", { value: "frozen", because }];
    if (!isGiven("trainFinalNorm")) yield ["trainFinalNorm", { value: false, because }];
    if (!isGiven("trainEmbeddings")) yield ["trainEmbeddings", { value: false, because }];
  } else if ("trainLayers" in values && values.trainLayers !== "all") {
    const because = "layers above the embedding are frozen";
    if (isDefault("trainEmbeddings")) yield ["trainEmbeddings", { value: false, because }];
    if (isDefault("head")) yield ["head", { value: "frozen", because }];
  }
  if ("resume" in values && values.output === null) {
    const resumed = /^(.+)[/\\]checkpoints[/\\][^/\\]+[/\\]?$/.exec(String(values.resume))?.[1];
    yield ["output", {
      value: resumed ?? `runs/${command}-${timestamp(now)}`,
      because: resumed ? "the run that is resumed" : "a directory of its own for each run",
    }];
  }
}

/** @returns `20261122-090500` for five past nine. */
function timestamp(date: Date): string {
  return date.toISOString().replace(/\..*/, "").replace(/[-:]/g, "").replace("T", "-");
}
