/** What `train` and `sft` share: the loop with its progress, checkpoints, interruption, and what is saved at the end. */
import denoConfig from "../../deno.json" with { type: "json" };
import type { Command, Options } from "../config.ts";
import type { Training } from "../engine.ts";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { saveModel } from "../model/save.ts";
import { savedTensors } from "../model/weights.ts";
import { openCheckpointStorage } from "../platform/checkpoint_storage.ts";
import { openDirectory } from "../platform/files.ts";
import { openCheckpoint, openLatestCheckpoint, saveCheckpoint } from "../train/checkpoint.ts";
import type { ModelIdentity } from "../train/identity.ts";
import { type StepMetrics, trainLoop } from "../train/loop.ts";
import type { MemoryPlan } from "../train/memory_plan.ts";
import { renderModelCard } from "../report/model_card.ts";
import { type DataPlan, largestMicroBatch, planData } from "../train/order.ts";
import type { RowStream, StreamPosition } from "../train/row_stream.ts";
import { renderReport } from "../report/report.ts";
import { checkpointContent, restoreCheckpoint } from "../train/resume.ts";
import type { DataRecord, MetricsLine, RunRecord, Sample } from "../report/run_record.ts";
import type { StepRows } from "../train/step_rows.ts";
import type { Context } from "./context.ts";
import type { Header } from "./header.ts";
import { SAVED_DTYPES } from "./convert.ts";
import type { OpenDevice } from "./device.ts";
import { Progress } from "./progress.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { RunDirectory } from "./run_directory.ts";

type TrainingOptions = Options<"train"> | Options<"sft">;

/** A run about to start. */
export interface TrainingRun {
  command: "train" | "sft";
  options: TrainingOptions;
  context: Context;
  device: OpenDevice;
  training: Training;
  directory: RunDirectory;
  /** Where configuration and tokenizer came from. */
  source: Directory;
  /** What the run began with; the first call reads all of its weights. */
  model: () => Promise<ModelIdentity>;
  /** A reference of its own, or null. */
  reference: () => Promise<ModelIdentity | null>;
  data: DataRecord[];
  plan: TrainingRows<unknown>["plan"];
  order: StepRows;
  stream?: RowStream<unknown>;
  startedAt: Date;
  header: Header;
  memory: MemoryPlan;
  /** There if other work goes on beside it. */
  host?: Host;
}

/** Who runs a training beside other work of the same thread. */
export interface Host {
  /** Gets the number of steps, once it is known. */
  onPlan(steps: number): void;
  /** Gets each line of metrics.jsonl when it is written. */
  onMetrics(line: MetricsLine): void;
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
  /** The largest micro-batch, and the tokens of its rows; of a stream as large as it may ever be. */
  largest: { rows: readonly Row[]; tokens: number[] };
  /** What became of the dataset, so far. */
  record(): DataRecord;
  /** Lines of the header: on the dataset for everybody, and details. */
  header(): { lines: string[]; details: string[] };
}

export function planOf(rows: number, options: TrainingOptions): DataPlan {
  const rowsPerStep = options.perDeviceTrainBatchSize * options.gradientAccumulationSteps;
  return planData(rows, rowsPerStep, options.numTrainEpochs, options.maxSteps);
}

/** Rows of the largest micro-batch. @param tokens Of each row. */
export function largestOf(plan: DataPlan, tokens: number[], options: TrainingOptions): number[] {
  const batchSize = options.perDeviceTrainBatchSize;
  return Array.from(largestMicroBatch(tokens, plan, { ...options, batchSize }));
}

async function fingerprint(run: TrainingRun): Promise<Record<string, unknown>> {
  const { options, data, device, plan } = run;
  return fingerprintOf(options, {
    precision: device.precision,
    totalSteps: plan.totalSteps,
    model: await run.model(),
    reference: await run.reference(),
    data: data.find(({ role }) => role === "train")!.hash,
  });
}

/** Restores the checkpoint that `--resume` names; @returns steps already done. */
export async function resumeRun(run: TrainingRun): Promise<number> {
  const { options, directory, training, context } = run;
  if (options.resume === null) return 0;
  const storage = await openCheckpointStorage(`${directory.path}/checkpoints`);
  const checkpoint = options.resume === "latest"
    ? await openLatestCheckpoint(storage, (line) => context.stderr.write(`${line}\n`))
    : await openCheckpoint(await openDirectory(options.resume), storage.sha256);
  if (!checkpoint) {
    throw new UserError(
      `Expected a checkpoint in ${storage.name} for --resume, found none: train without it`,
    );
  }
  await restoreCheckpoint(training.model, training.optimizer, checkpoint, await fingerprint(run));
  await run.stream?.resume(checkpoint.state.position as StreamPosition);
  checkpoint.close();
  await directory.keepMetrics(checkpoint.step);
  context.stderr.write(`resuming after step ${checkpoint.step} of ${run.plan.totalSteps}\n`);
  return checkpoint.step;
}

/**
 * Runs the training loop with progress, metrics and checkpoints.
 *
 * @param shown Picks what the progress line shows of a step, and may say something of it in a line of its own.
 * @returns Steps done; fewer than planned if the user interrupted, and a checkpoint is there then.
 */
export async function runLoop(
  run: TrainingRun,
  firstStep: number,
  shown: (metrics: StepMetrics, say: (line: string) => void) => Record<string, number>,
): Promise<number> {
  const { options, context, training, directory, plan } = run;
  const { model, optimizer } = training;
  const progress = new Progress(context.stderr, {
    label: run.command,
    totalSteps: plan.totalSteps,
    firstStep,
    loggingSteps: options.loggingSteps,
  });
  const say = (line: string) => progress.say(line);
  // Weights are read for it while others are trained.
  const identified = fingerprint(run);
  identified.catch(() => {}); // whoever awaits it is told
  const save = async (step: number) => {
    const storage = await openCheckpointStorage(`${directory.path}/checkpoints`);
    const content = await checkpointContent(model, optimizer, await identified);
    content.state.source = options.model;
    content.state.position = run.stream?.position;
    await saveCheckpoint(storage, step, content, options.saveTotalLimit);
  };
  const done = await trainLoop(model, optimizer, training.steps, {
    rows: run.order,
    schedule: {
      type: options.lrSchedulerType,
      learningRate: options.learningRate,
      warmupSteps: options.warmupSteps,
      totalSteps: plan.totalSteps,
    },
    firstStep,
    signal: context.signal,
    onStep(metrics) {
      directory.log(metrics);
      run.host?.onMetrics(metrics);
      const { step, tokens, skipped, loss_scale } = metrics;
      if (skipped) {
        say(
          `skipped    step ${step}: its gradient overflowed f16, so the loss scale is ${loss_scale} now`,
        );
      }
      progress.update({ step, tokens, values: shown(metrics, say) });
    },
    saveEverySteps: options.saveSteps,
    save,
  });
  if (done < plan.totalSteps) {
    await save(done);
    context.stderr.write(
      `\ninterrupted after step ${done}: go on with --output ${directory.path} --resume\n`,
    );
  }
  return done;
}

/** Writes model, record, report and card to the run directory. */
export async function saveRun(run: TrainingRun, samples: Sample[]): Promise<RunRecord> {
  const { command, options, context, device, training, directory, data, startedAt, header } = run;
  const { config } = training.model.weights;
  const tensors = savedTensors(device.gpu, training.model.weights);
  await saveModel(directory.files, config, tensors, {
    tieWordEmbeddings: config.tieWordEmbeddings,
    dtype: SAVED_DTYPES[options.saveDtype ?? "f32"],
    companions: run.source,
  });
  const record: RunRecord = {
    command: command satisfies Command,
    startedAt: startedAt.toISOString(),
    durationSeconds: (Date.now() - startedAt.getTime()) / 1000,
    versions: { smoldpo: denoConfig.version, deno: Deno.version.deno, v8: Deno.version.v8 },
    device: device.gpu.info,
    options: { ...options, precision: device.precision },
    origins: options.precision === "auto"
      ? {
        ...context.resolved.origins,
        precision: { source: "automatic", detail: device.precisionReason },
      }
      : context.resolved.origins,
    source: run.source.name,
    parameters: training.parameters,
    memory: { plannedBytes: run.memory.total, peakBytes: device.gpu.memory.peakBytes },
    data,
    header: header.lines,
  };
  await directory.files.writeText("run.json", `${JSON.stringify(record, null, 2)}\n`);
  await directory.files.writeText("report.html", renderReport(record, directory.metrics, samples));
  await directory.files.writeText("README.md", renderModelCard(record, directory.metrics, samples));
  return record;
}
