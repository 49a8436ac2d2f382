// This module is browser compatible.
import { type Options, type Resolved, resolveOptions } from "../config/resolve.ts";
import type { OptionName } from "../config/options.ts";
import { givenByUser } from "../config/origins.ts";
import { kebabCase } from "../config/values.ts";
import { UserError } from "../errors.ts";
import { isEvaluation, type MetricsLine } from "../report/run_record.ts";
import { renderSweep, type SweptRun } from "../report/sweep.ts";
import type { Emit } from "./events.ts";
import { type Combination, combinationsOf, nameOf } from "./grid.ts";
import type { Ports } from "./ports.ts";
import { train } from "./train.ts";

/** Options of the sweep itself. */
const OWN: readonly string[] = ["grid", "print", "output", "config", "resume"];

/** A run of a sweep that is still to come. */
interface PlannedRun {
  name: string;
  combination: Combination;
  training: Resolved<"train">;
}

/** What a sweep leaves. */
export interface SweepResult {
  /** The folder of the runs, with the page that compares them. */
  output: string;
  /** The runs in the order of the grid; of an interrupted sweep and of a dry one, none. */
  runs: SweptRun[];
  /** Whether all runs ended. */
  finished: boolean;
}

/**
 * The trainings of a sweep: one for each combination of the values in `--grid`.
 *
 * @throws {UserError} If the grid has another form, or the options of a combination do not fit together.
 */
export function plannedRuns(resolved: Resolved<"sweep">): PlannedRun[] {
  const { output, pushToHub } = trainingOptions(resolved);
  if (pushToHub) {
    throw new UserError(
      "Expected a sweep without --push-to-hub, which would upload each run over the one before; " +
        "choose a run, then use the command upload",
    );
  }
  return combinationsOf(resolved.options.grid ?? "").map((combination) => {
    const name = nameOf(combination);
    return { name, combination, training: trainingOf(resolved, combination, `${output}/${name}`) };
  });
}

/**
 * Trains once for each combination of some options' values. Runs that are there already are not repeated, and one that was
 * interrupted goes on: the same sweep again completes an earlier one.
 *
 * @param emit Gets what happens, in order.
 * @throws {UserError} As {@link plannedRuns} before the first run, and as `train` in each of them.
 */
export async function sweep(
  resolved: Resolved<"sweep">,
  ports: Ports,
  emit: Emit,
): Promise<SweepResult> {
  // All of them first: what is wrong with the last one is said before the first one begins.
  const planned = plannedRuns(resolved);
  const { output, dryRun } = trainingOptions(resolved);
  const runs = ports.openRuns(output!);
  for (const [i, { name, training }] of planned.entries()) {
    const isThere = await runs.get(name) !== null;
    emit({ type: isThere ? "kept" : "begun", name, run: i + 1, runs: planned.length });
    if (isThere) continue;
    const goesOn = (await runs.checkpoints(name)).length > 0;
    if (!goesOn && !dryRun) await runs.remove(name);
    const options = { ...training.options, resume: goesOn ? "latest" : null };
    const { finished } = await train({ ...training, options }, ports, emit);
    if (!finished && !dryRun) return { output: output!, runs: [], finished };
  }
  if (dryRun) return { output: output!, runs: [], finished: false };
  const swept = await Promise.all(
    planned.map(async ({ name, combination, training }): Promise<SweptRun> => ({
      name,
      values: Object.fromEntries(combination),
      measures: measuresOf(await runs.metrics(name)),
      ...setsOf(training),
    })),
  );
  const directory = await ports.createDirectory(output!);
  await directory.writeText(
    "sweep.html",
    renderSweep(`smoldpo sweep: ${resolved.options.grid}`, swept),
  );
  return { output: output!, runs: swept, finished: true };
}

/** A sweep has all options of a training. */
function trainingOptions({ options }: Resolved<"sweep">): Options<"train"> {
  return options as unknown as Options<"train">;
}

function trainingOf(
  { options, origins }: Resolved<"sweep">,
  combination: Combination,
  output: string,
): Resolved<"train"> {
  const given = Object.entries(options).filter(([name]) =>
    !OWN.includes(name) && givenByUser(origins, name)
  );
  const flags = given.map(([name, value]) => [kebabCase(name as OptionName), value] as const);
  return resolveOptions("train", { flags: [...flags, ...combination, ["output", output]] });
}

/** The names of held-out sets, where they have some. */
function setsOf({ options: { evalDataset } }: Resolved<"train">): Pick<SweptRun, "sets"> {
  return evalDataset === null || typeof evalDataset === "string"
    ? {}
    : { sets: Object.keys(evalDataset) };
}

/** What held-out pairs measured last; without any, what the last training step did. */
function measuresOf(metrics: readonly MetricsLine[]): MetricsLine {
  const last = metrics.findLast(isEvaluation) ?? metrics.at(-1) ?? {};
  return Object.fromEntries(
    Object.entries(last).map(([name, value]) => [name.replace(/^eval_/, ""), value]),
  );
}
