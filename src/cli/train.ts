import type { Options } from "../config.ts";
import { auditInWords, flipsInWords } from "../data/audit.ts";
import { filterInWords } from "../data/filter_report.ts";
import { suspectedFlips } from "../dpo/label_flips.ts";
import { type DpoTraining, startDpo, trainableOf } from "../engine.ts";
import {
  checkBatch,
  planInWords,
  planMemory,
  releaseScratch,
  reserveStep,
  totalInWords,
} from "../train/memory_plan.ts";
import {
  type Change,
  evaluationChanges,
  type MetricsLine,
  readable,
  type Sample,
} from "../report/run_record.ts";
import { checkFirstStep } from "../train/self_check.ts";
import type { Context } from "./context.ts";
import { deviceShortly, featuresInWords, openDevice } from "./device.ts";
import { type Examination, HeldOut, SAMPLES } from "./held_out.ts";
import { Header, invocation } from "./header.ts";
import { bringFromHub } from "./hub_files.ts";
import { openPushTarget, pushToHub } from "./hub_target.ts";
import {
  countsInWords,
  dataOptions,
  heldOutDataset,
  lossInWords,
  openStoredModel,
} from "./inputs.ts";
import { loadReferenceScores } from "./reference_scores.ts";
import { clock } from "./progress.ts";
import { RunDirectory } from "./run_directory.ts";
import { shortcuts } from "./shortcuts.ts";
import { openTrainingPairs, strongFilter } from "./training_pairs.ts";
import { type Host, resumeRun, runLoop, saveRun, type TrainingRun } from "./training_run.ts";

const INTERRUPTED = 130;
/** Steps after which the time of the others is told. */
const TIMED_STEPS = 3;

/** Direct Preference Optimization. */
export async function run(
  options: Options<"train">,
  context: Context<"train">,
  host?: Host,
): Promise<number> {
  const startedAt = new Date();
  const header = new Header(options.verbose, context.stderr);
  const say = (line: string) => context.stderr.write(`${line}\n`);
  const target = await openPushTarget(options);
  // A server's clients must not make it fetch anything.
  if (!host && !await bringFromHub(context)) return INTERRUPTED;
  using model = await openStoredModel(options.model, context);
  using reference = options.reference === null
    ? null
    : await openStoredModel(options.reference, context);
  const dataFlags = dataOptions(options, model, options.score);
  const faster = shortcuts(options, "write", context, (line) => header.detail(line));
  const train = await openTrainingPairs(options, model, dataFlags, faster, context);
  const heldOutNamed = heldOutDataset(options);
  const heldOut = heldOutNamed &&
    await HeldOut.open(
      heldOutNamed,
      model,
      dataFlags,
      faster,
      train,
      await strongFilter(options, context),
    );

  const device = await openDevice(options, context);
  if (!device) return 0;
  using gpu = device.gpu;
  const { precision } = device;
  const training = await startDpo(gpu, model, reference, train.rows, options, precision);
  const { largest } = train;
  checkBatch(training.model, largest.tokens);
  const memory = await planMemory(
    training,
    largest.rows,
    async (counted) => await heldOut?.rehearse(counted),
  );

  const directory = await RunDirectory.open(options.output!, options.resume !== null);
  try {
    const run: TrainingRun = {
      command: "train",
      options,
      context: context as Context,
      device,
      training,
      directory,
      source: model.directory,
      model: model.identity,
      reference: async () => reference && await reference.identity(),
      data: [train.record(), ...heldOut ? [heldOut.record] : []],
      plan: train.plan,
      order: train.order,
      stream: train.stream,
      startedAt,
      header,
      memory,
      host,
    };
    host?.onPlan(run.plan.totalSteps);
    const log = (line: MetricsLine) => {
      directory.log(line);
      host?.onMetrics(line);
    };
    const { filter } = context.resolved.origins;
    const { lines, details } = train.header();
    header.say(`device     ${deviceShortly(device)}`);
    header.detail(`engine     ${gpu.info.engine}, ${featuresInWords(gpu.features)}`);
    header.say(
      `model      ${options.model}, ${trainedShortly(training)}; reference ${
        options.reference ?? "the model before training"
      }`,
    );
    header.detail(`trained    ${trainedInWords(training, options)}`);
    for (const line of lines) header.say(line);
    for (const line of details) header.detail(line);
    if (filter.source === "automatic") {
      header.say(`filter     ${options.filter}: ${filter.detail}`);
    }
    if (heldOut) {
      header.say(`held out   ${options.evalDataset}: ${countsInWords(heldOut.counts)}`);
      const { filter } = heldOut.record;
      if (filter) {
        const how = heldOut.strong ? `${heldOut.strong.length} measured by themselves too; ` : "";
        header.say(`filter     ${options.evalDataset}: ${how}${filterInWords(filter)}`);
      }
      const findings = auditInWords(heldOut.record.audit);
      if (findings !== "") header.say(`audit      ${options.evalDataset}: ${findings}`);
    }
    header.say(`loss       ${lossInWords(options, context.resolved.origins)}`);
    header.say(`memory     ${train.stream ? "at most " : ""}${totalInWords(memory)}`);
    header.detail(`memory     ${planInWords(memory)}`);
    header.say(`steps      ${run.plan.totalSteps}, ${run.plan.rowsPerStep} pairs each`);
    header.say(`output     ${directory.path}`);

    const inMemory = [
      ...train.stream ? [] : [{ pairs: train.rows, record: train.record() }],
      ...heldOut ? [heldOut] : [],
    ];
    const cached = await loadReferenceScores(faster, inMemory, {
      policy: training.model,
      reference: training.run.reference,
      source: reference ?? model,
      precision,
      score: options,
    });
    const firstStep = await resumeRun(run);
    let before: Examination | undefined;
    if (heldOut && firstStep === 0) {
      before = await heldOut.examine(training, options.reference === null);
      log({ step: 0, ...before.metrics });
    }
    releaseScratch(training);
    if (!train.stream) reserveStep(training, largest.rows);
    const atLn2 = options.reference === null && options.labelSmoothing === 0 &&
      options.lossType === "sigmoid";
    let checked = firstStep > 0;
    let timedFrom = 0;
    const done = await runLoop(run, firstStep, (metrics, say) => {
      if (!checked && !metrics.skipped) {
        const check = `self-check ${checkFirstStep(metrics, atLn2)}`;
        header.lines.push(check);
        if (options.verbose) say(check);
        checked = true;
      }
      const step = metrics.step - firstStep;
      const left = run.plan.totalSteps - metrics.step;
      if (step === 1) timedFrom = performance.now(); // the first one compiles
      else if (step === TIMED_STEPS && left > 0) {
        const seconds = (performance.now() - timedFrom) / (TIMED_STEPS - 1) / 1000;
        say(`time       about ${clock(left * seconds)} for the ${left} steps left`);
      }
      return {
        loss: metrics.loss,
        accuracy: metrics["rewards/accuracies"],
        margin: metrics["rewards/margins"],
      };
    });
    for (const scores of cached) await scores.save();
    if (done < run.plan.totalSteps) return INTERRUPTED;

    let samples: Sample[] = [];
    if (heldOut) {
      releaseScratch(training);
      const after = await heldOut.examine(training);
      log({ step: done, ...after.metrics });
      const theirs = before && options.reference === null
        ? before.completions
        : await heldOut.answer(training.run.reference.model, SAMPLES);
      samples = heldOut.samples(theirs, after.completions);
      say(comparison(evaluationChanges(directory.metrics)));
      for (const sample of samples) say(sideBySide(sample));
    }
    run.data = inMemory.map(({ record, pairs }) => {
      const suspects = suspectedFlips(training.run.reference, pairs);
      const doubts = flipsInWords(suspects);
      if (doubts !== "") say(`audit      ${record.path}: ${doubts}`);
      return { ...record, audit: { ...record.audit!, suspectedFlips: suspects } };
    });
    if (train.stream) {
      say(`data       read ${countsInWords(train.stream.position.counts)}`);
      run.data.unshift(train.record());
    }
    const record = await saveRun(run, samples);
    const { path } = directory;
    say(
      `\nsaved      ${path} after ${record.durationSeconds.toFixed(0)} s${
        changesInWords(evaluationChanges(directory.metrics))
      }; curves: ${path}/report.html\n` +
        `next       ${invocation()} task generate --model ${path} --compare ${options.model}, or serve --model ${path}`,
    );
    if (options.json) {
      const last = directory.metrics.at(-1)!;
      context.stdout.write(`${JSON.stringify({ output: directory.path, ...last })}\n`);
    }
    if (target && await pushToHub(target, directory.path, context) === null) return INTERRUPTED;
    return 0;
  } finally {
    await train.stream?.close();
    await directory.close();
  }
}

function trainedInWords({ parameters, model }: DpoTraining, options: Options<"train">): string {
  const { total, trained } = parameters;
  const { config } = model.weights;
  return `${trained} of ${total} weights (${(100 * trained / total).toFixed(1)} %); ` +
    `frozen layers: ${model.begin} of ${config.numLayers}; output head: ${
      trainableOf(options, config).head
    }`;
}

function trainedShortly({ parameters: { total, trained } }: DpoTraining): string {
  const count = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
  const share = trained === total ? "all" : `${(100 * trained / total).toFixed(1)} %`;
  return `${count.format(total)} weights, ${share} trained`;
}

/** The measures that a reader asks for first, before and after. */
function changesInWords(changes: Change[]): string {
  const names = { "rewards/accuracies": "accuracy", "rewards/margins": "margin" };
  const words = Object.entries(names).flatMap(([name, word]) => {
    const change = changes.find((each) => each.name === name);
    return change ? [`${word} ${change.before.toFixed(2)} -> ${change.after.toFixed(2)}`] : [];
  });
  return words.length > 0 ? `; held-out ${words.join(", ")}` : "";
}

/** Held-out measures before and after, a line each. */
function comparison(changes: Change[]): string {
  const width = Math.max(24, ...changes.map(({ name }) => name.length));
  const line = (name: string, before: string, after: string) =>
    `${name.padEnd(width)} ${before.padStart(10)}  ${after.padStart(10)}`;
  return [
    `\n${line("held out", "before", "after")}`,
    ...changes.map(({ name, before, after }) => line(name, readable(before), readable(after))),
  ].join("\n");
}

function sideBySide({ prompt, reference, policy }: Sample): string {
  return `\nprompt     ${oneLine(prompt)}\nreference  ${oneLine(reference)}\npolicy     ${
    oneLine(policy)
  }`;
}

/** A text in one line, without the marks of a chat template. */
const oneLine = (text: string) =>
  text.replaceAll(/<\|[^|]*\|>/g, "").trim().replaceAll(/\s*\n\s*/g, " | ");
