import { type Command, COMMANDS } from "../config/resolve.ts";
import type { OptionSpec } from "../config/kinds.ts";
import { bounds, kebabCase, optionSections, specOf } from "../config/values.ts";

const SUMMARIES: Record<Command, string> = {
  train: "Align a model with preference pairs (DPO)",
  sweep: "Train once for each combination of some options' values, and compare",
  sft: "Train a model to predict the next token of a text",
  eval: "Measure preference accuracy, margins and loss of a model against a reference",
  score: "Print the log-probabilities of every pair, one JSON line each",
  generate: "Answer a prompt, or chat; two models side by side",
  serve: "Serve a model through OpenAI's API, with a page for people",
  filter: "Keep the pairs whose chosen answer passes six simple text checks",
  inspect: "Show how a dataset becomes tokens, or audit it",
  download: "Download a model or a dataset from the Hugging Face hub",
  convert:
    "Write a model as a Hugging Face directory, from PyTorch files or in another number type",
  upload: "Upload a model directory to the Hugging Face hub (needs HF_TOKEN)",
  bench: "Measure speed on this device",
};

/** @returns What the program can do, for `--help` without a command. */
export function overview(): string {
  const width = Math.max(...COMMANDS.map((command) => command.length));
  const lines = COMMANDS.map((command) => `  ${command.padEnd(width)}  ${SUMMARIES[command]}`);
  return [
    "Usage: deno task COMMAND [--FLAG VALUE ...]",
    "",
    ...lines,
    "",
    "deno task COMMAND --help lists a command's flags",
    "",
  ].join("\n");
}

/** @returns A command's flags by section: name, values, what it does, default. */
export function commandHelp(command: Command): string {
  const sections = optionSections(command).map(({ title, names }) => {
    const flags = names.flatMap((name) => {
      const spec = specOf(name);
      return flagLines(flagPattern(kebabCase(name), spec), `${spec.help}${notes(command, spec)}`);
    });
    return [title, ...flags, ""].join("\n");
  });
  return [
    `Usage: deno task ${command} [--FLAG VALUE ...]`,
    "",
    SUMMARIES[command],
    "",
    ...sections,
  ].join("\n");
}

const FLAG_COLUMNS = 34;
const LINE_COLUMNS = 100;

/** A flag, and beside it what it does; below it where the flag is too long for that. */
function flagLines(pattern: string, text: string): string[] {
  const flag = `  --${pattern}`;
  const lines = wrapped(text, LINE_COLUMNS - FLAG_COLUMNS);
  const beside = flag.length < FLAG_COLUMNS ? lines.shift()! : "";
  const indent = " ".repeat(FLAG_COLUMNS);
  return [
    `${flag.padEnd(FLAG_COLUMNS)}${beside}`.trimEnd(),
    ...lines.map((line) => indent + line),
  ];
}

function wrapped(text: string, columns: number): string[] {
  return text.split(" ").reduce<string[]>((lines, word) => {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) return [...lines, word];
    return [...lines.slice(0, -1), `${last} ${word}`];
  }, []);
}

function flagPattern(name: string, spec: OptionSpec): string {
  switch (spec.kind) {
    case "text":
      return spec.bare === undefined
        ? `${name} ${spec.placeholder}`
        : `${name} [${spec.placeholder}]`;
    case "datasets":
      return `${name} ${spec.placeholder}`;
    case "choice":
      return `${name} ${spec.choices.join("|")}`;
    case "number":
      return `${name} ${[...spec.words ?? [], "N"].join("|")}`;
    case "choices":
      return `${name} NAME,...`;
    case "integers":
    case "weights":
      return `${name} N,N,...`;
    case "boolean":
      return `[no-]${name}`;
  }
}

function notes(command: Command, spec: OptionSpec): string {
  const parts = (spec.aliases ?? []).map((alias) => `also --${alias}`);
  if (spec.kind === "choices") parts.push(spec.choices.join(", "));
  if (spec.kind === "number" && spec.max !== undefined) {
    parts.push(`${spec.min ?? `above ${spec.above}`} to ${spec.max}`);
  } else if (spec.kind === "number") parts.push(...bounds(spec));
  const value = spec.defaults?.[command] ?? spec.default;
  if (value !== null) parts.push(`default: ${shown(value)}`);
  return parts.length > 0 ? ` (${parts.join("; ")})` : "";
}

function shown(value: unknown): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  // 1e-6 rather than 0.000001
  return typeof value === "number" && value > 0 && value < 1e-3
    ? value.toExponential()
    : String(value);
}
