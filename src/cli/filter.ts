import { resolve } from "node:path";
import type { Options } from "../config/resolve.ts";
import { FILTER_RULES } from "../config/options.ts";
import { kebabCase } from "../config/values.ts";
import { parsePair } from "../data/pair_rows.ts";
import { PairFilter } from "../data/filter.ts";
import { type FilterReport, percent } from "../data/filter_report.ts";
import { type Dataset, filesOf, readRows } from "../data/rows.ts";
import { UserError } from "../errors.ts";
import { openDataset } from "../platform/datasets.ts";
import { PendingFile } from "../platform/pending_file.ts";
import { type Context, Interrupted } from "./context.ts";
import { bringFromHub } from "./hub_files.ts";
import { mainDataset, parseOptions } from "../run/inputs.ts";

/** Keeps the pairs of a dataset that the rules find strong, row by row: a dataset may be larger than memory. */
export async function run(
  options: Options<"filter">,
  context: Pick<Context<"filter">, "stdout" | "stderr" | "signal" | "resolved">,
): Promise<void> {
  const { stdout, stderr, signal } = context;
  const { dataset, output, rejects, json } = options;
  const filter = new PairFilter(options, { tokens: "refuse" });
  await bringFromHub(context);
  const source = await openDataset(dataset, mainDataset(options, "train"));
  refuseOutputs(options, source);
  await using kept = output === null ? null : await PendingFile.create(output);
  await using left = rejects === null ? null : await PendingFile.create(rejects);
  const parsing = parseOptions(options);
  let withoutPreference = 0;
  for await (const row of readRows(source)) {
    if (signal.aborted) throw new Interrupted();
    const { example } = parsePair(row, parsing);
    if (example === null) {
      withoutPreference++;
      await left?.write(`${JSON.stringify({ ...row.value, failed_rules: ["preference"] })}\n`);
      continue;
    }
    const failed = filter.judge(example, row.where);
    if (failed.length === 0) await kept?.write(`${JSON.stringify(row.value)}\n`);
    else {
      const failed_rules = failed.map(kebabCase);
      await left?.write(`${JSON.stringify({ ...row.value, failed_rules })}\n`);
    }
  }
  const report = filter.report();
  if (report.pairs === 0) {
    throw new UserError(`Cannot filter ${dataset}: expected at least one row, found none`);
  }
  await kept?.commit();
  await left?.commit();
  if (json) {
    stdout.write(`${JSON.stringify({ dataset, output, rejects, withoutPreference, ...report })}\n`);
  } else {
    stdout.write(`${dataset}: ${reportText(report)}\n`);
    if (withoutPreference > 0) {
      stdout.write(`${withoutPreference} more rows prefer no answer, and are left out.\n`);
    }
    if (output === null) stderr.write("no rows written: name a file with --output\n");
  }
}

function reportText({ limits, pairs, kept, rejected, longerWins, sources }: FilterReport): string {
  const rules = FILTER_RULES.map((rule) =>
    `${kebabCase(rule).padEnd(20)} ${String(limits[rule]).padStart(5)} ${
      String(rejected[rule]).padStart(9)
    }`
  );
  return [
    `${kept} of ${pairs} pairs are strong`,
    "",
    "rule                 limit  rejected",
    ...rules,
    "",
    "A pair may fail several rules.",
    `Chosen is longer than rejected in ${percent(longerWins.before)} of all pairs, in ${
      percent(longerWins.after)
    } of the kept.`,
    `Stop words: ${sources.stopWords}; word classes: ${sources.tagger}.`,
  ].join("\n");
}

function refuseOutputs({ output, rejects }: Options<"filter">, source: Dataset): void {
  for (const [flag, path] of Object.entries({ output, rejects })) {
    if (path !== null && !path.endsWith(".jsonl")) {
      throw new UserError(`Expected --${flag} to end in .jsonl, found ${path}`);
    }
  }
  const paths = [...new Set(filesOf(source)), output, rejects].filter((path) => path !== null)
    .map((path) => resolve(path));
  if (new Set(paths).size < paths.length) {
    throw new UserError(
      "Expected --dataset, --output and --rejects to be different files, found one twice",
    );
  }
}
