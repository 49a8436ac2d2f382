// This module is browser compatible.

/** The commands of the program. */
export const COMMANDS = [
  "train",
  "sweep",
  "sft",
  "eval",
  "score",
  "generate",
  "serve",
  "filter",
  "inspect",
  "download",
  "convert",
  "upload",
  "bench",
] as const;
export type Command = typeof COMMANDS[number];

/** What every option has, whatever its kind. */
interface Common {
  /** One sentence for people, with the unit if there is one. */
  help: string;
  /** Where the option means something; elsewhere it is refused. */
  commands: readonly Command[];
  /** Defaults that differ by command. */
  defaults?: Partial<Record<Command, unknown>>;
  /** Other names, in kebab-case. */
  aliases?: readonly string[];
  /**
   * Whether a resumed run may have another value: `free`, since its numbers do not depend on it; `content`, if what it stands
   * for is the same; `content in memory`, of a dataset that is not streamed. Otherwise it may not.
   */
  resume?: "free" | "content" | "content in memory";
  /** The values of `optim` that read it; beside others it is refused. Otherwise all read it. */
  optim?: readonly string[];
  /** `server`: a server sets it for its jobs, and refuses it in requests. Otherwise clients may set it. */
  jobs?: "server";
  /** When a command line to copy has it, of those that somebody gave. Otherwise always. */
  shown?: "never" | "unless default";
}

/** Text, such as a path. `bare` is the value of the option named without one. */
export interface TextOption extends Common {
  kind: "text";
  default: string | null;
  placeholder: string;
  bare?: string;
}

/** One of a few words; `null` means automatic. */
export interface ChoiceOption extends Common {
  kind: "choice";
  default: string | null;
  choices: readonly string[];
}

/** One or several of a few words; the value is a text with commas. */
export interface ChoicesOption extends Common {
  kind: "choices";
  default: string;
  choices: readonly string[];
}

/** A number within bounds, or one of `words`. */
export interface NumberOption extends Common {
  kind: "number";
  default: number | string | null;
  integer: boolean;
  min?: number;
  max?: number;
  /** Exclusive bounds. */
  above?: number;
  below?: number;
  words?: readonly string[];
}

/** On or off; `null` means automatic. */
export interface BooleanOption extends Common {
  kind: "boolean";
  default: boolean | null;
}

/** Whole numbers separated by commas. */
export interface IntegersOption extends Common {
  kind: "integers";
  default: null;
}

/** Numbers of at least 0, separated by commas. */
export interface WeightsOption extends Common {
  kind: "weights";
  default: null;
}

/** A dataset, or several by their names. */
export interface DatasetsOption extends Common {
  kind: "datasets";
  default: null;
  placeholder: string;
}

export type OptionSpec =
  | TextOption
  | DatasetsOption
  | ChoiceOption
  | ChoicesOption
  | WeightsOption
  | NumberOption
  | BooleanOption
  | IntegersOption;

/** The type of a resolved value. */
export type ValueOf<S extends OptionSpec> =
  | (S extends TextOption | ChoicesOption ? string
    : S extends ChoiceOption ? S["choices"][number]
    : S extends NumberOption ? number | (S extends { words: readonly (infer W)[] } ? W : never)
    : S extends BooleanOption ? boolean
    : S extends DatasetsOption ? string | Readonly<Record<string, string>>
    : number[])
  | (null extends S["default"] ? null : never);

type Rest<S extends OptionSpec> = Omit<S, "kind" | "commands" | "help" | "integer">;

/** An option that is a text. The arguments are in the order in which a reader asks: where, what, how. */
export function text<const C extends readonly Command[], const R extends Rest<TextOption>>(
  commands: C,
  help: string,
  rest: R,
) {
  return { kind: "text" as const, commands, help, ...rest };
}

/** An option that is a dataset, or several with a name each. */
export function datasets<const C extends readonly Command[], const R extends Rest<DatasetsOption>>(
  commands: C,
  help: string,
  rest: R,
) {
  return { kind: "datasets" as const, commands, help, ...rest };
}

/** An option that is one of a few words. */
export function choice<const C extends readonly Command[], const R extends Rest<ChoiceOption>>(
  commands: C,
  help: string,
  rest: R,
) {
  return { kind: "choice" as const, commands, help, ...rest };
}

/** An option that is one or several of a few words. */
export function choices<const C extends readonly Command[], const R extends Rest<ChoicesOption>>(
  commands: C,
  help: string,
  rest: R,
) {
  return { kind: "choices" as const, commands, help, ...rest };
}

/** An option that is a number. */
export function number<const C extends readonly Command[], const R extends Rest<NumberOption>>(
  commands: C,
  help: string,
  rest: R,
) {
  return { kind: "number" as const, integer: false, commands, help, ...rest };
}

/** An option that is a whole number. */
export function integer<const C extends readonly Command[], const R extends Rest<NumberOption>>(
  commands: C,
  help: string,
  rest: R,
) {
  return { kind: "number" as const, integer: true, commands, help, ...rest };
}

/** An option that is on or off. */
export function boolean<const C extends readonly Command[], const R extends Rest<BooleanOption>>(
  commands: C,
  help: string,
  rest: R,
) {
  return { kind: "boolean" as const, commands, help, ...rest };
}

/** An option that is a list of whole numbers. */
export function integers<const C extends readonly Command[]>(commands: C, help: string) {
  return { kind: "integers" as const, default: null, commands, help };
}

/** An option that is a list of numbers of at least 0. */
export function weights<const C extends readonly Command[]>(commands: C, help: string) {
  return { kind: "weights" as const, default: null, commands, help };
}
