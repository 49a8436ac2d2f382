// This module is browser compatible.
import type { Options, Resolved } from "../config/resolve.ts";
import type { PreferencePair } from "../data/pairs.ts";
import type { TokenSequence } from "../data/truncate.ts";
import { suspectedFlips } from "../dpo/label_flips.ts";
import { startDpo } from "../train/training.ts";
import { trainableOf } from "../train/trainable.ts";
import { answersOf, lossOfEquals } from "../losses/losses.ts";
import {
  type DataRecord,
  evaluationChanges,
  isEvaluation,
  type Sample,
} from "../report/run_record.ts";
import { factsOf, unitOfLoss } from "../report/words.ts";
import type { StepMetrics } from "../train/step_metrics.ts";
import { Plateau } from "../train/plateau.ts";
import { fitMemory } from "../train/fit_memory.ts";
import { checkBatch, releaseScratch, reserveStep } from "../train/memory_plan.ts";
import { checkFirstStep } from "../train/self_check.ts";
import { beginOf } from "./begin.ts";
import { openCaches } from "./caches.ts";
import { EvaluationPlan } from "./evaluation_plan.ts";
import type { Emit } from "./events.ts";
import type { Examination } from "./held_out.ts";
import { HeldOutSets, metricsLine } from "./held_out_sets.ts";
import { dataOptions, openModel } from "./inputs.ts";
import type { Ports } from "./ports.ts";
import { loadReferenceScores } from "./reference_scores.ts";
import { openTrainingPairs } from "./training_pairs.ts";
import {
  restoreBest,
  resumeRun,
  RunEvents,
  runLoop,
  saveRun,
  type TrainingResult,
  type TrainingRun,
} from "./training_run.ts";

/**
 * Direct Preference Optimization: from options to a run directory.
 *
 * @param emit Gets what happens, in order.
 * @throws {UserError} If options, models or data do not fit together.
 */
export async function train(
  resolved: Resolved<"train">,
  ports: Ports,
  emit: Emit,
): Promise<TrainingResult> {
  const { options, origins } = resolved;
  const startedAt = ports.now();
  const events = new RunEvents(emit);
  using model = await openModel(options.model, ports, events.emit);
  using reference = options.reference === null
    ? null
    : await openModel(options.reference, ports, events.emit);
  const begunAt = await beginOf(options, ports);
  const dataFlags = { ...dataOptions(options, model, options.score), now: begunAt.getTime() };
  const caches = openCaches(options, "write", ports, events.emit);
  const rows = await openTrainingPairs(resolved, model, dataFlags, caches);
  const heldOut = await HeldOutSets.open(resolved, model, dataFlags, caches, rows);

  const evaluation = new EvaluationPlan(
    options,
    rows.stream ? Infinity : Math.ceil(rows.rows.length / rows.plan.rowsPerStep),
  );
  evaluation.check(heldOut.measures(options));

  const device = await ports.openDevice(options);
  using gpu = device.gpu;
  const { precision } = device;
  const training = await startDpo(gpu, model, reference, rows.rows, options, precision);
  const { largest, plan } = rows;
  checkBatch(training.model, largest(training.limits).tokens);
  const memory = await fitMemory(
    training,
    largest,
    options,
    (counted) => heldOut.rehearse(counted, options),
  );

  const announce = (output: string) =>
    events.emit({
      type: "planned",
      plan: {
        command: "train",
        options,
        origins,
        device: factsOf(device),
        parameters: training.parameters,
        layers: { all: model.config.numLayers, frozen: training.model.begin },
        head: trainableOf(options, model.config).head,
        data: rows.data(),
        heldOut: heldOut.sets.map(({ record, strong }) => ({
          data: record,
          strong: strong?.length ?? null,
        })),
        best: evaluation.inWords,
        memory,
        ...plan,
        output,
      },
    });
  if (options.dryRun) {
    announce(options.output!);
    await rows.stream?.close();
    return { steps: 0, output: options.output!, metrics: [], finished: false };
  }

  const output = await ports.openOutput(
    options.output!,
    options.resume !== null,
    options.reportTo,
  );
  try {
    const { record } = rows.data();
    const run: TrainingRun = {
      resolved,
      ports,
      events,
      device,
      training,
      output,
      source: model.directory,
      model: model.identity,
      base: model.adapted?.base ?? { name: options.model, identity: model.identity },
      reference: async () => reference && await reference.identity(),
      data: [record, ...heldOut.sets.map(({ record }) => record)],
      plan,
      order: rows.order,
      stream: rows.stream,
      startedAt,
      begunAt,
      memory,
      course: {
        beta: options.beta,
        // Of a stream it is known in the end. Beside a reference that follows it does not tell whether the model moved.
        get lossOfEquals() {
          return options.syncRefModel ? null : expectedLoss(options, rows.data().record);
        },
        chosenTokens: rows.stream ? null : meanOf(goodOf(rows.rows)),
      },
      evaluation,
    };
    if (options.lrSchedulerType === "reduce_lr_on_plateau") {
      run.plateau = new Plateau({ ...options, greater: evaluation.greater });
    }
    announce(output.path);

    const inMemory = [
      ...rows.stream ? [] : [{ pairs: rows.rows, record }],
      ...heldOut.sets,
    ];
    const judge = training.run.reference;
    // Scores on disk are of a reference that stays.
    const cached = judge === null || training.sync
      ? []
      : await loadReferenceScores(caches, inMemory, {
        policy: training.model,
        reference: judge,
        source: reference ?? model,
        precision,
        score: options,
      });
    const firstStep = await resumeRun(run);
    const evaluated = (step: number, found: readonly Examination[]) => {
      const metrics = metricsLine(step, found);
      output.log(metrics);
      output.logSamples(heldOut.samples(found).map((sample) => ({ step, ...sample })));
      events.emit({ type: "evaluated", metrics });
    };
    const isReference = options.reference === null;
    if (!heldOut.isEmpty) {
      const before = firstStep === 0 ? await heldOut.examine(training, isReference) : null;
      const known = output.samples.filter(({ step }) => step === 0);
      await heldOut.learnReference(training, isReference ? before : null, known);
      if (before) evaluated(0, before);
    }
    /** What the last evaluation found. */
    let after: Examination[] | undefined;
    const prepareSteps = () => {
      releaseScratch(training);
      if (!rows.stream) reserveStep(training, largest(training.limits).rows);
    };
    const examine = async () => {
      releaseScratch(training);
      after = await heldOut.examine(training);
      if (training.sync) await heldOut.learnReference(training, null, []);
      return after;
    };
    const evaluate = async (step: number) => {
      evaluated(step, await examine());
      prepareSteps();
    };
    prepareSteps();
    const expected = () => expectedLoss(options, rows.data().record);
    const check = selfCheck(options, firstStep, expected, events.emit);
    const { steps, isAll } = await runLoop(run, firstStep, check, evaluate);
    for (const scores of cached) await scores.save();
    const result = { steps, output: output.path, metrics: output.metrics };
    if (!isAll) return { ...result, finished: false };

    const samples: Sample[] = [];
    if (!heldOut.isEmpty) {
      const last = output.metrics.at(-1)!;
      if (last.step !== steps || !isEvaluation(last)) {
        evaluated(steps, await examine());
      }
      if (await restoreBest(run, steps) || !after) after = await examine();
      samples.push(...heldOut.samples(after));
      events.emit({
        type: "compared",
        changes: evaluationChanges(output.metrics, run.bestStep),
        samples,
      });
    }
    run.data = inMemory.map(({ record, pairs }) => {
      // A reference that follows has learned from the labels, so its doubts say nothing of them.
      if (judge === null || training.sync || answersOf(options)) return record;
      const labels = suspectedFlips(judge, pairs);
      events.emit({ type: "doubted", path: record.path, labels });
      return { ...record, audit: { ...record.audit!, suspectedFlips: labels } };
    });
    if (rows.stream) {
      const { record } = rows.data();
      events.emit({ type: "streamed", data: record, unit: unitOfLoss(options) });
      run.data.unshift(record);
    }
    await saveRun(run, samples);
    return { ...result, finished: true };
  } finally {
    await rows.stream?.close();
    await output.close();
  }
}

/** The loss before the first step, where it is the same for all pairs. */
function expectedLoss(options: Options<"train">, { counts }: DataRecord): number | null {
  const differs = options.useWeighting || counts.withMargin > 0 || counts.withWeight > 0;
  return options.reference !== null || differs ? null : lossOfEquals(options);
}

/** The chosen answers of pairs, and of single answers the good ones. */
function goodOf(pairs: readonly PreferencePair[]): TokenSequence[] {
  return pairs.filter(({ label }) => label !== false).map(({ chosen }) => chosen);
}

/** Tokens of an answer, in the mean. */
function meanOf(answers: readonly TokenSequence[]): number {
  const tokens = answers.reduce((sum, { ids, promptLength }) => sum + ids.length - promptLength, 0);
  return tokens / answers.length;
}

/** Checks the first step that was not skipped, of a run that begins. */
function selfCheck(
  options: Options<"train">,
  firstStep: number,
  expected: () => number | null,
  emit: Emit,
) {
  let checked = firstStep > 0;
  return (metrics: StepMetrics) => {
    if (checked || metrics.skipped) return;
    emit({ type: "checked", found: checkFirstStep(metrics, expected(), options.beta) });
    checked = true;
  };
}
