import { type Options, type Resolved, resolveOptions } from "../config.ts";
import type { OptionName } from "../config/options.ts";
import { kebabCase } from "../config/values.ts";
import { table } from "../bench/table.ts";
import { createDirectory } from "../platform/files.ts";
import { DiskRuns } from "../platform/run_store.ts";
import { type MetricsLine, readable } from "../report/run_record.ts";
import { renderSweep, sweptMeasures, type SweptRun } from "../report/sweep.ts";
import { type Combination, combinationsOf, nameOf } from "../run/grid.ts";
import { commandLineOf } from "../serve/command_line.ts";
import { type Context, lineWriter } from "./context.ts";
import { trainAndTell } from "./train.ts";

/** Options of the sweep itself. */
const OWN: readonly string[] = ["grid", "print", "output", "config", "resume"];

/**
 * Trains once for each combination of some options' values. Runs that are there already are not repeated, and one that was
 * interrupted goes on: the same command again completes a sweep.
 */
export async function run(options: Options<"sweep">, context: Context<"sweep">): Promise<void> {
  const { stdout, stderr, resolved } = context;
  const say = lineWriter(stderr);
  const combinations = combinationsOf(options.grid ?? "");
  const { output, json } = resolved.options as unknown as Options<"train">;
  // All of them first: what is wrong with the last one is said before the first one begins.
  const planned = combinations.map((combination) => trainingOf(resolved, combination, output!));
  if (options.print) {
    for (const training of planned) stdout.write(`${commandLineOf(training)}\n`);
    return;
  }
  const runs = new DiskRuns(output!);
  for (const [i, combination] of combinations.entries()) {
    const name = nameOf(combination);
    say(`\nrun        ${i + 1} of ${combinations.length}: ${name}`);
    if (await runs.get(name) !== null) {
      say("           is there");
      continue;
    }
    const goesOn = (await runs.checkpoints(name)).length > 0;
    if (!goesOn) await runs.remove(name);
    const training = planned[i];
    const options = { ...training.options, resume: goesOn ? "latest" : null };
    await trainAndTell({ ...training, options }, { ...context, stdout: { ...stdout, write() {} } });
  }
  const swept = await Promise.all(combinations.map(async (combination): Promise<SweptRun> => {
    const name = nameOf(combination);
    return {
      name,
      values: Object.fromEntries(combination),
      measures: measuresOf(await runs.metrics(name)),
    };
  }));
  const directory = await createDirectory(output!);
  await directory.writeText("sweep.html", renderSweep(`smoldpo sweep: ${options.grid}`, swept));
  if (json) { for (const each of swept) stdout.write(`${JSON.stringify(each)}\n`); }
  else stdout.write(`\n${tableOf(swept)}`);
  say(`\nsaved      ${output}; what follows from what: ${output}/sweep.html`);
}

/** @throws {UserError} If the options of a combination do not fit together. */
function trainingOf(
  { options, origins }: Resolved<"sweep">,
  combination: Combination,
  output: string,
): Resolved<"train"> {
  const given = Object.entries(options).filter(([name]) =>
    !OWN.includes(name) && ["flag", "file"].includes(origins[name].source)
  );
  const flags = given.map(([name, value]) => [kebabCase(name as OptionName), value] as const);
  return resolveOptions("train", {
    flags: [...flags, ...combination, ["output", `${output}/${nameOf(combination)}`]],
  });
}

/** What held-out pairs measured last; without any, what the last training step did. */
function measuresOf(metrics: readonly MetricsLine[]): MetricsLine {
  const last = metrics.findLast((line) => "eval_loss" in line) ?? metrics.at(-1) ?? {};
  return Object.fromEntries(
    Object.entries(last).map(([name, value]) => [name.replace(/^eval_/, ""), value]),
  );
}

function tableOf(runs: readonly SweptRun[]): string {
  return table([...runs], [
    ...Object.keys(runs[0].values).map((option) => ({
      head: option,
      cell: ({ values }: SweptRun) => values[option],
    })),
    ...sweptMeasures(runs).map((name) => ({
      head: name,
      cell: ({ measures }: SweptRun) => name in measures ? readable(measures[name]) : null,
    })),
  ]);
}
