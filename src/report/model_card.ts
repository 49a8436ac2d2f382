// This module is browser compatible.
import type { Options } from "../config/resolve.ts";
import { filterInWords } from "../data/filter_report.ts";
import { lossInWords, termsOf } from "../losses/losses.ts";
import {
  afterInWords,
  answersTitle,
  evaluationChanges,
  type MetricsLine,
  originInWords,
  readable,
  type RunRecord,
  type Sample,
} from "./run_record.ts";

/**
 * The README.md of a run directory: what the model is, how it was made, and what was measured. Hugging Face reads the
 * front matter.
 */
export function renderModelCard(
  run: RunRecord,
  metrics: readonly MetricsLine[],
  samples: readonly Sample[],
): string {
  return `${
    [
      frontMatter(run),
      `# ${code(run.options.model)} after ${methodOf(run)}`,
      summary(run),
      evaluation(run, metrics),
      answers(run, samples),
      data(run),
      configuration(run),
    ].filter((part) => part !== "").join("\n\n")
  }\n`;
}

function methodOf({ command, options }: RunRecord): string {
  if (command === "sft") return "next-token training";
  if (command !== "train") return command;
  const objective = options as Pick<Options<"train">, "lossType" | "lossWeights">; // of this command
  const papers = new Set(termsOf(objective).flatMap(({ loss }) => loss.paper ?? []));
  const source = papers.size > 0 ? ` (${[...papers].join("; ")})` : "";
  const loss = lossInWords(objective);
  const method = loss === "sigmoid"
    ? `Direct Preference Optimization${source}`
    : `preference optimization with the loss ${code(loss)}${source}`;
  return options.syncRefModel
    ? `${method}, with a reference that follows the model (TR-DPO, Gorbatovski et al. 2024, arXiv:2404.09656)`
    : method;
}

// The hub refuses cards that name anything but its own repositories here.
function frontMatter({ command, source, data, base: adapted }: RunRecord): string {
  const base = hubName(source);
  const datasets = new Set(data.flatMap(({ files }) => files.map(hubName)));
  datasets.delete(null);
  // Every JSON string is a YAML string.
  return [
    "---",
    `library_name: ${adapted ? "peft" : "transformers"}`,
    "pipeline_tag: text-generation",
    ...base === null ? [] : [`base_model: ${JSON.stringify(base)}`],
    ...datasets.size === 0 ? [] : ["datasets:"],
    ...[...datasets].map((name) => `  - ${JSON.stringify(name)}`),
    "tags:",
    "  - smoldpo",
    `  - ${command === "train" ? "dpo" : command}`,
    ...adapted ? ["  - lora"] : [],
    "---",
  ].join("\n");
}

/** The hub's repository that a path in its cache is of, or null for other paths. */
function hubName(path: string): string | null {
  const match = /[/\\](?:model|dataset)s--([\w.-]+?)--([\w.-]+)[/\\]snapshots(?:[/\\]|$)/.exec(
    path,
  );
  return match && `${match[1]}/${match[2]}`;
}

function summary(run: RunRecord): string {
  const { startedAt, durationSeconds, device, parameters, versions } = run;
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const when = startedAt.slice(0, 16).replace("T", " ");
  return [
    `${readable(parameters.trained)} of ${readable(parameters.total)} weights were trained on `,
    `${code(device.description)} (${device.engine}), ${when} UTC, in `,
    `${readable(Math.round(durationSeconds))} seconds, by ${programs.join(", ")}.\n\n`,
    run.base
      ? "They are adapters, which PEFT loads: `AutoPeftModelForCausalLM.from_pretrained(path)`. "
      : "Transformers loads this directory as it is: `AutoModelForCausalLM.from_pretrained(path)`. ",
    "Curves are in `report.html`, numbers in `metrics.jsonl`, the configuration in `run.json`.",
  ].join("");
}

function evaluation({ bestStep }: RunRecord, metrics: readonly MetricsLine[]): string {
  const changes = evaluationChanges(metrics, bestStep);
  if (changes.length === 0) return "";
  const rows = changes.map((change) => [
    change.name,
    readable(change.before),
    afterInWords(change),
  ]);
  return `## Held-out data, before and after\n\n${table(["", "before", "after"], rows)}`;
}

function answers({ options }: RunRecord, samples: readonly Sample[]): string {
  if (samples.length === 0) return "";
  const rows = samples.map(({ set, prompt, reference, policy }) => [
    set === undefined ? prompt : `${set}: ${prompt}`,
    reference,
    policy,
  ]);
  return `## ${answersTitle(options)}\n\n${table(["prompt", "reference", "policy"], rows)}`;
}

function data({ data }: RunRecord): string {
  const parts = data.map(({ role, set, path, format, hash, counts, filter }) => {
    const rows = Object.entries(counts).map(([name, count]) => [name, readable(count)]);
    return `${set === undefined ? role : `${role}, ${set}`}: ${code(path)}, ${
      cell(format)
    }, tokens ${code(hash)}\n\n${table(["", ""], rows)}${
      filter ? `\n\n${filtered(role)}: ${cell(filterInWords(filter))}` : ""
    }`;
  });
  return `## Data\n\n${parts.join("\n\n")}`;
}

function filtered(role: string): string {
  return role === "eval" ? "Measured without the filter and with it" : "Filtered";
}

function configuration({ options, origins }: RunRecord): string {
  const rows = Object.entries(options).map(([name, value]) => [
    name,
    value === null ? "–" : readable(value),
    name in origins ? originInWords(origins[name]) : "",
  ]);
  return `## Configuration\n\n${table(["option", "value", "from"], rows)}`;
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Text that stays text: nothing in it starts a cell, a tag, a link or an emphasis. */
function cell(text: string): string {
  return text.replace(/[\\`*_[\]<>|&]/g, "\\$&").replace(/\s*\n\s*/g, " ");
}

/** Text between backticks; more of them than the text has in a row. */
function code(value: unknown): string {
  const text = String(value).replace(/\s+/g, " ");
  const longest = Math.max(0, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return longest > 0 ? `${fence} ${text} ${fence}` : `${fence}${text}${fence}`;
}
