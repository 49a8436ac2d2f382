import { table } from "../bench/table.ts";
import type { Options } from "../config/resolve.ts";
import { localPorts } from "../platform/local_ports.ts";
import { readable } from "../report/run_record.ts";
import { sweptMeasures, type SweptRun } from "../report/sweep.ts";
import type { Emit } from "../run/events.ts";
import { plannedRuns, sweep } from "../run/sweep.ts";
import { commandLineOf } from "../serve/command_line.ts";
import { type Context, Interrupted, lineWriter } from "./context.ts";
import { bringFromHub } from "./hub_files.ts";
import { trainingPrinter } from "./train.ts";

/** A training for each combination of some options' values. */
export async function run(options: Options<"sweep">, context: Context<"sweep">): Promise<void> {
  const { stdout, stderr, signal, resolved } = context;
  const say = lineWriter(stderr);
  const planned = plannedRuns(resolved);
  if (options.print) {
    for (const { training } of planned) stdout.write(`${commandLineOf(training)}\n`);
    return;
  }
  for (const { training } of planned) {
    await bringFromHub({ stderr, signal, resolved: training });
  }
  const { finished, output, runs } = await sweep(
    resolved,
    localPorts({ signal, say }),
    printer(planned.map(({ training }) => trainingPrinter(training.options, stderr)), say),
  );
  if (planned[0].training.options.dryRun) return say("dry run    nothing was trained");
  if (!finished) throw new Interrupted();
  if (planned[0].training.options.json) {
    for (const each of runs) stdout.write(`${JSON.stringify(each)}\n`);
  } else stdout.write(`\n${tableOf(runs)}`);
  say(`\nsaved      ${output}; compared: ${output}/sweep.html`);
}

/** @param printers One for each run. @returns What prints all of them. */
function printer(printers: readonly Emit[], say: (line: string) => void): Emit {
  let current = printers[0];
  return (event) => {
    if (event.type !== "begun" && event.type !== "kept") return current(event);
    const { run, runs, name, type } = event;
    say(`\nrun        ${run} of ${runs}: ${name}${type === "kept" ? ", is there already" : ""}`);
    current = printers[run - 1];
  };
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
