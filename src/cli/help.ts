import { type Command, COMMANDS } from "../config.ts";
import type { OptionSpec } from "../config/kinds.ts";
import { bounds, kebabCase, optionNames, specOf } from "../config/values.ts";

const SUMMARIES: Record<Command, string> = {
  train: "Align a model with preference pairs (DPO)",
  sft: "Train a model to predict the next token of a text",
  eval: "Measure preference accuracy, margins and loss of a model against a reference",
  score: "Print the log-probabilities of every pair, one JSON line each",
  generate: "Answer a prompt or continue it",
  serve: "Answer over HTTP as OpenAI's API does",
  filter: "Keep the pairs of a dataset whose chosen answer is better by countable signs",
  inspect: "Show what the model will see of a dataset: tokens, boundaries, mask, truncation",
  download: "Bring a model or a dataset of the Hugging Face hub into its cache",
  convert:
    "Write a model as a Hugging Face directory, from PyTorch files or in another number type",
  upload: "Put a model directory on the Hugging Face hub (needs HF_TOKEN)",
  bench: "Measure kernels, training step, decoding and loading on this device",
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

/** @returns A command's flags: name, values, what it does, default. */
export function commandHelp(command: Command): string {
  const flags = optionNames(command).flatMap((name) => {
    const spec = specOf(name);
    return [
      `  --${flagPattern(kebabCase(name), spec)}`,
      `      ${spec.help}${notes(command, spec)}`,
    ];
  });
  return [
    `Usage: deno task ${command} [--FLAG VALUE ...]`,
    "",
    SUMMARIES[command],
    "",
    ...flags,
    "",
  ].join("\n");
}

function flagPattern(name: string, spec: OptionSpec): string {
  switch (spec.kind) {
    case "text":
      return spec.bare === undefined
        ? `${name} ${spec.placeholder}`
        : `${name} [${spec.placeholder}]`;
    case "choice":
      return `${name} ${spec.choices.join("|")}`;
    case "number":
      return `${name} ${[...spec.words ?? [], "N"].join("|")}`;
    case "integers":
      return `${name} N,N,...`;
    case "boolean":
      return `[no-]${name}`;
  }
}

function notes(command: Command, spec: OptionSpec): string {
  const parts = (spec.aliases ?? []).map((alias) => `also --${alias}`);
  if (spec.kind === "number") parts.push(...bounds(spec));
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
