// This module is browser compatible.
/** What `train` and `sft` share: the loop with its checkpoints, interruption, and what is saved at the end. */
import { accepts, type Options, type Resolved } from "../config/resolve.ts";
import type { Training } from "../train/training.ts";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { saveAdapter } from "../model/adapter_files.ts";
import { SAVED_DTYPES, saveModel } from "../model/save.ts";
import { savedTensors } from "../model/weights.ts";
import { diagnose } from "../report/diagnosis.ts";
import type { Course } from "../report/findings.ts";
import { remedyOf } from "../report/steering.ts";
import type { TrainingData } from "../report/header.ts";
import { renderModelCard } from "../report/model_card.ts";
import { renderReport } from "../report/report.ts";
import {
  type DataRecord,
  evaluationChanges,
  type MetricsLine,
  type RunRecord,
  type Sample,
} from "../report/run_record.ts";
import {
  openCheckpoint,
  openCheckpointOf,
  openLatestCheckpoint,
  saveCheckpoint,
} from "../train/checkpoint.ts";
import { adapterState } from "../train/checkpoint_model.ts";
import type { ModelIdentity } from "../train/identity.ts";
import type { LargestBatch } from "../train/fit_memory.ts";
import { trainLoop } from "../train/loop.ts";
import type { StepMetrics } from "../train/step_metrics.ts";
import type { MemoryPlan } from "../train/memory_plan.ts";
import type { Plateau, PlateauState } from "../train/plateau.ts";
import { type DataPlan, largestMicroBatch, planData } from "../train/order.ts";
import { checkpointContent, restoreCheckpoint } from "../train/resume.ts";
import type { RowStream, StreamPosition } from "../train/row_stream.ts";
import type { StepRows } from "../train/step_rows.ts";
import { keepBegin } from "./begin.ts";
import { headerWords } from "./event_words.ts";
import type { EvaluationPlan } from "./evaluation_plan.ts";
import type { Emit, RunEvent } from "./events.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { NamedModel, OpenDevice, Ports, RunOutput } from "./ports.ts";

type TrainingOptions = Options<"train"> | Options<"sft">;

/** A run about to start. */
export interface TrainingRun {
  resolved: Resolved<"train"> | Resolved<"sft">;
  ports: Ports;
  events: RunEvents;
  device: OpenDevice;
  training: Training;
  output: RunOutput;
  /** Where configuration and tokenizer came from. */
  source: Directory;
  /** What the run began with; the first call reads all of its weights. */
  model: () => Promise<ModelIdentity>;
  /** What adapters that are trained belong to. */
  base: NamedModel;
  /** A reference of its own, or null. */
  reference: () => Promise<ModelIdentity | null>;
  data: DataRecord[];
  plan: TrainingRows<unknown>["plan"];
  order: StepRows;
  stream?: RowStream<unknown>;
  startedAt: Date;
  /** As `startedAt`, but of the first part of a run that is resumed. */
  begunAt: Date;
  memory: MemoryPlan;
  /** What its numbers are compared with in the end. */
  course: Pick<Course, "beta" | "lossOfEquals" | "chosenTokens">;
  evaluation: EvaluationPlan;
  /** Decides the rate with --lr-scheduler-type reduce_lr_on_plateau. */
  plateau?: Plateau;
  /** The step whose model is saved, where that is not the last one. */
  bestStep?: number;
}

/** What a training leaves behind. */
export interface TrainingResult {
  /** Steps done; fewer than planned if the run was interrupted, and there is a checkpoint then. */
  steps: number;
  /** Whether all planned steps were done, and the model was saved. */
  finished: boolean;
  /** The run directory. */
  output: string;
  /** The lines of its metrics.jsonl. */
  metrics: readonly MetricsLine[];
}

/** Passes the events of a run on, and keeps what its record is to say of its beginning. */
export class RunEvents {
  /** The lines of the header. */
  readonly header: string[] = [];

  constructor(readonly to: Emit) {}

  readonly emit: Emit = (event: RunEvent) => {
    this.header.push(...headerWords(event).map(({ text }) => text));
    this.to(event);
  };
}

/** The rows that a training learns from: all in memory, or read as it goes on. */
export interface TrainingRows<Row> {
  /** What steps are made from: all rows, or those of the newest step. */
  rows: readonly Row[];
  plan: Pick<DataPlan, "totalSteps" | "rowsPerStep">;
  /** Which rows the next step takes. */
  order: StepRows;
  /** There if the rows are streamed. */
  stream?: RowStream<Row>;
  /** Of a stream it is as large as it may ever be. */
  largest: LargestBatch<Row>;
  /** What became of the dataset, so far. */
  data(): TrainingData;
}

export function planOf(rows: number, options: TrainingOptions): DataPlan {
  const rowsPerStep = options.perDeviceTrainBatchSize * options.gradientAccumulationSteps;
  return planData(rows, rowsPerStep, options.numTrainEpochs, options.maxSteps);
}

/** Finds the largest micro-batch of rows in memory. @param tokens Of each row. */
export function largestOf<Row>(
  rows: readonly Row[],
  tokens: readonly number[],
  plan: DataPlan,
  options: TrainingOptions,
): LargestBatch<Row> {
  return (limits) => {
    const largest = largestMicroBatch(tokens, plan, { ...options, limits });
    return { rows: largest.map((row) => rows[row]), tokens: largest.map((row) => tokens[row]) };
  };
}

async function fingerprint(run: TrainingRun): Promise<Record<string, unknown>> {
  const { resolved: { options }, data, device, plan } = run;
  return fingerprintOf(options, {
    precision: device.precision,
    totalSteps: plan.totalSteps,
    model: await run.model(),
    reference: await run.reference(),
    data: data.find(({ role }) => role === "train")!.hash,
    heldOut: data.filter(({ role }) => role === "eval").map(({ hash }) => hash),
  });
}

/** Restores the checkpoint that the options name; @returns steps already done. */
export async function resumeRun(run: TrainingRun): Promise<number> {
  const { resolved: { options }, output, training, ports, events: { emit } } = run;
  if (options.resume === null) return 0;
  const storage = await output.checkpoints();
  const checkpoint = options.resume === "latest"
    ? await openLatestCheckpoint(
      storage,
      (text) => emit({ type: "noted", subject: "checkpoint", text }),
    )
    : await openCheckpoint(await ports.openDirectory(options.resume), storage.sha256);
  if (!checkpoint) {
    throw new UserError(
      `Expected a checkpoint in ${storage.name} for --resume, found none: train without it`,
    );
  }
  await restoreCheckpoint(training, checkpoint, await fingerprint(run));
  if (run.plateau) run.plateau.state = checkpoint.state.plateau as PlateauState;
  await run.stream?.resume(checkpoint.state.position as StreamPosition);
  checkpoint.close();
  await output.keepMetrics(checkpoint.step, (step) => run.evaluation.isDue(step));
  emit({ type: "resumed", step: checkpoint.step, totalSteps: run.plan.totalSteps });
  return checkpoint.step;
}

/**
 * Runs the training loop with metrics and checkpoints.
 *
 * @param check Looks at a step before it is told.
 * @param evaluate Evaluates the model after a step, into the metrics.
 * @returns Steps done, and whether that is all; if not, the run was interrupted, and a checkpoint is there.
 */
export async function runLoop(
  run: TrainingRun,
  firstStep: number,
  check: (metrics: StepMetrics) => void = () => {},
  evaluate: (step: number) => Promise<void> = () => Promise.resolve(),
): Promise<{ steps: number; isAll: boolean }> {
  const { resolved: { options }, ports, training, output, plan, evaluation } = run;
  const { emit } = run.events;
  const { model, optimizer } = training;
  emit({ type: "started", firstStep, totalSteps: plan.totalSteps });
  // Weights are read for it while others are trained.
  const identified = fingerprint(run);
  identified.catch(() => {}); // whoever awaits it is told
  const save = async (step: number) => {
    const content = await checkpointContent(training, await identified);
    content.state.source = options.model;
    content.state.begunAt = run.begunAt.toISOString();
    await keepBegin(output, run.begunAt);
    if (model.weights.adapter) content.state.adapter = adapterState(model.weights.adapter);
    content.state.plateau = run.plateau?.state;
    content.state.position = run.stream?.position;
    const kept = evaluation.options.loadBestModelAtEnd
      ? evaluation.best(output.metrics)?.step ?? null
      : null;
    await saveCheckpoint(await output.checkpoints(), step, content, options.saveTotalLimit, kept);
  };
  let stopped = false;
  const steps = await trainLoop(model, optimizer, training.steps, {
    rows: run.order,
    schedule: { ...options, type: options.lrSchedulerType, totalSteps: plan.totalSteps },
    learningRate: run.plateau && (() => run.plateau!.state.rate),
    firstStep,
    signal: ports.signal,
    onStep(metrics) {
      output.log(metrics);
      check(metrics);
      emit({ type: "stepped", metrics });
    },
    afterStep: (step) => training.sync?.afterStep(step),
    saveEverySteps: options.saveSteps,
    save,
    remedy: remedyOf(options),
    evaluation: {
      isDue: (step) => evaluation.isDue(step),
      async evaluate(step) {
        await evaluate(step);
        const { [evaluation.metric]: measured } = output.metrics.at(-1)!;
        if (measured !== undefined) run.plateau?.observe(measured);
        const best = evaluation.best(output.metrics);
        stopped = evaluation.isExhausted(output.metrics);
        if (stopped) emit({ type: "stopped", step, best: best! });
        const saves = evaluation.options.loadBestModelAtEnd && best?.step === step;
        return { saves, stops: stopped };
      },
    },
  });
  const isAll = stopped || steps === plan.totalSteps;
  if (!isAll) {
    await save(steps);
    emit({ type: "interrupted", step: steps, output: output.path });
  }
  return { steps, isAll };
}

/** Goes back to the best evaluated model, where that is not the last one. @returns Whether it did. */
export async function restoreBest(run: TrainingRun, steps: number): Promise<boolean> {
  const { output, training, evaluation, events: { emit } } = run;
  const best = evaluation.options.loadBestModelAtEnd ? evaluation.best(output.metrics) : null;
  if (best === null || best.step === steps) return false;
  const storage = await output.checkpoints();
  const checkpoint = await openCheckpointOf(storage, best.step);
  await restoreCheckpoint(training, checkpoint, await fingerprint(run));
  checkpoint.close();
  run.bestStep = best.step;
  emit({ type: "restored", best });
  return true;
}

/** Writes model, record, report and card to the run directory. */
export async function saveRun(run: TrainingRun, samples: Sample[]): Promise<void> {
  const { resolved, ports, device, training, output, data, startedAt, events } = run;
  const { command, options, origins } = resolved;
  const { config } = training.model.weights;
  const { adapter } = training.model.weights;
  const tensors = savedTensors(device.gpu, training.model.weights);
  const how = { dtype: SAVED_DTYPES[options.saveDtype ?? "f32"], companions: run.source };
  if (adapter) {
    await saveAdapter(output.files, config, adapter, tensors, { base: run.base.name, ...how });
  } else {
    const { tieWordEmbeddings } = config;
    await saveModel(output.files, config, tensors, { tieWordEmbeddings, ...how });
  }
  const { files, metrics } = output;
  const diagnosis = diagnose(metrics, {
    ...run.course,
    learningRate: options.learningRate,
    vocabSize: config.vocabSize,
    rowsPerStep: run.plan.rowsPerStep,
    lossType: "lossType" in options ? options.lossType : null,
    accepts: (name, value) => accepts(resolved, name, value),
  }, samples);
  events.emit({ type: "diagnosed", findings: diagnosis });
  const record: RunRecord = {
    command,
    startedAt: startedAt.toISOString(),
    durationSeconds: (ports.now().getTime() - startedAt.getTime()) / 1000,
    versions: ports.versions,
    device: device.gpu.info,
    options: { ...options, precision: device.precision },
    origins: options.precision === "auto"
      ? { ...origins, precision: { source: "automatic", detail: device.precisionReason } }
      : origins,
    source: run.source.name,
    base: adapter && await run.base.identity(),
    parameters: training.parameters,
    memory: { plannedBytes: run.memory.total, peakBytes: device.gpu.memory.peakBytes },
    data,
    bestStep: run.bestStep,
    diagnosis,
    header: events.header,
  };
  await files.writeText("run.json", `${JSON.stringify(record, null, 2)}\n`);
  await files.writeText("report.html", renderReport(record, metrics, samples, output.samples));
  await files.writeText("README.md", renderModelCard(record, metrics, samples));
  const { durationSeconds } = record;
  const changes = evaluationChanges(metrics, run.bestStep);
  events.emit({ type: "saved", output: output.path, durationSeconds, changes });
}
