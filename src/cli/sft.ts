import type { Options } from "../config.ts";
import { loadSequences } from "../data/sequences.ts";
import { readRows } from "../data/rows.ts";
import { type Checkpoint, startSft } from "../engine.ts";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { readConfig } from "../model/directory.ts";
import { randomWeights } from "../model/random_weights.ts";
import { openTokenizer } from "../platform/chat_template.ts";
import { openDataset } from "../platform/datasets.ts";
import { locateModel } from "../platform/models.ts";
import type { Context } from "./context.ts";
import { openDevice } from "./device.ts";
import { RunDirectory } from "./run_directory.ts";
import { largestBatch, planInWords, planMemory } from "../train/memory_plan.ts";
import { evaluateSft } from "../train/sft.ts";
import { plannedRows } from "../train/step_rows.ts";
import {
  countsInWords,
  dataOptions,
  dataRecord,
  heldOutDataset,
  mainDataset,
  type NamedDataset,
  openStoredModel,
  shapeInWords,
} from "./inputs.ts";
import { planOf, resumeRun, runLoop, saveRun, type TrainingRun } from "./training_run.ts";

const INTERRUPTED = 130;

/** Next-token training: where DPO's starting model comes from. */
export async function run(options: Options<"sft">, context: Context<"sft">): Promise<number> {
  const startedAt = new Date();
  const { directory: source } = await locateModel(options.model);
  const checkpoint = options.randomWeights
    ? await freshCheckpoint(source, options)
    : await openStoredModel(options.model, context);
  const data = dataOptions(options, checkpoint, options.score);
  const tokenizer = await openTokenizer(source);
  const load = async (named: NamedDataset) => {
    const files = await openDataset(named.path, named);
    const { sequences, ...rest } = await loadSequences(readRows(files), tokenizer, data);
    return { sequences, counts: rest.counts, record: dataRecord(named, files, rest, data) };
  };
  const dataset = await load(mainDataset(options, "train"));
  const heldOutNamed = heldOutDataset(options);
  const heldOut = heldOutNamed && await load(heldOutNamed);
  const device = await openDevice(options, context);
  if (!device) return 0;
  const { sequences, counts, record } = dataset;
  const training = await startSft(device.gpu, checkpoint, sequences, options, device.precision);
  const units = sequences.map(({ ids }) => ids.length);
  const batchTokens = largestBatch(units, options.perDeviceTrainBatchSize);
  const memory = planMemory(training.model, batchTokens, units);
  const directory = await RunDirectory.open(options.output!, options.resume !== null);
  try {
    const plan = planOf(sequences.length, options);
    const run: TrainingRun = {
      command: "sft",
      options,
      context: context as Context,
      device,
      training,
      directory,
      source,
      data: [record, ...heldOut ? [heldOut.record] : []],
      plan,
      rows: plannedRows(plan, options),
      startedAt,
    };
    const tokens = units.reduce((sum, count) => sum + count, 0);
    context.stderr.write(
      `device     ${device.gpu.info.description} (${device.gpu.info.engine}), ${device.precision}: ${device.precisionReason}\n` +
        `model      ${options.model}: ${training.parameters.total} parameters, ${training.parameters.trained} trained\n` +
        `data       ${options.dataset}: ${countsInWords(counts, "rows")}, ${tokens} tokens; ${
          shapeInWords(record)
        }\n` +
        `memory     ${planInWords(memory)}\n` +
        `steps      ${run.plan.totalSteps}, ${run.plan.rowsPerStep} rows each\n`,
    );
    const firstStep = await resumeRun(run);
    const batch = { batchSize: options.perDeviceTrainBatchSize, scope: options.score };
    const evaluateAt = async (step: number) => {
      if (!heldOut) return;
      const metrics = await evaluateSft(training.model, heldOut.sequences, batch);
      directory.log({ step, ...metrics });
      context.stderr.write(`held out   loss ${metrics.eval_loss.toFixed(4)} after step ${step}\n`);
    };
    if (firstStep === 0) await evaluateAt(0);
    const done = await runLoop(run, firstStep, ({ loss }) => ({ loss }));
    if (done < run.plan.totalSteps) return INTERRUPTED;
    await evaluateAt(done);
    const { durationSeconds } = await saveRun(run, []);
    const last = directory.metrics.at(-1)!;
    if (options.json) {
      context.stdout.write(`${JSON.stringify({ output: directory.path, ...last })}\n`);
    } else {
      context.stderr.write(`saved      ${directory.path} after ${durationSeconds} s\n`);
    }
    return 0;
  } finally {
    await directory.close();
  }
}

async function freshCheckpoint(
  directory: Directory,
  { model, seed }: Options<"sft">,
): Promise<Checkpoint> {
  const config = await readConfig(directory);
  if (!await directory.has("tokenizer.json")) {
    throw new UserError(`Expected a tokenizer.json in ${model} for --random-weights, found none`);
  }
  return { config, read: randomWeights(config, seed) };
}
