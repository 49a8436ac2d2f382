import type { Options } from "../config.ts";
import { type Checkpoint, startSft } from "../engine.ts";
import { UserError } from "../errors.ts";
import { cacheKey } from "../formats/cache.ts";
import type { Directory } from "../formats/files.ts";
import { readConfig } from "../model/directory.ts";
import { randomWeights } from "../model/random_weights.ts";
import { locateModel } from "../platform/models.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { ModelIdentity } from "../train/identity.ts";
import {
  checkBatch,
  planInWords,
  planMemory,
  releaseScratch,
  reserveStep,
  totalInWords,
} from "../train/memory_plan.ts";
import { evaluateSft } from "../train/sft.ts";
import type { Context } from "./context.ts";
import { deviceShortly, featuresInWords, openDevice } from "./device.ts";
import { Header, invocation } from "./header.ts";
import { bringFromHub } from "./hub_files.ts";
import { openPushTarget, pushToHub } from "./hub_target.ts";
import { countsInWords, dataOptions, heldOutDataset, openStoredModel } from "./inputs.ts";
import { RunDirectory } from "./run_directory.ts";
import { shortcuts } from "./shortcuts.ts";
import { resumeRun, runLoop, saveRun, type TrainingRun } from "./training_run.ts";
import { loadSequencesFrom, openTrainingSequences } from "./training_sequences.ts";

const INTERRUPTED = 130;

/** Next-token training: where DPO's starting model comes from. */
export async function run(options: Options<"sft">, context: Context<"sft">): Promise<number> {
  const startedAt = new Date();
  const header = new Header(options.verbose, context.stderr);
  const target = await openPushTarget(options);
  if (!await bringFromHub(context)) return INTERRUPTED;
  const { directory: source } = await locateModel(options.model);
  using stored = options.randomWeights ? null : await openStoredModel(options.model, context);
  const checkpoint: Checkpoint = stored ?? await freshCheckpoint(source, options);
  const data = dataOptions(options, checkpoint, options.score);
  const text = { directory: source, tokenizer: await loadTokenizer(source) };
  const faster = shortcuts(options, "write", context, (line) => header.detail(line));
  const dataset = await openTrainingSequences(options, text, data, faster);
  const heldOutNamed = heldOutDataset(options);
  const heldOut = heldOutNamed && await loadSequencesFrom(heldOutNamed, text, data, faster);
  const device = await openDevice(options, context);
  if (!device) return 0;
  const { rows, largest } = dataset;
  const training = await startSft(device.gpu, checkpoint, rows, options, device.precision);
  checkBatch(training.model, largest.tokens);
  const batch = { batchSize: options.perDeviceTrainBatchSize, scope: options.score };
  const memory = await planMemory(
    training,
    largest.rows,
    async ({ model }) => heldOut && await evaluateSft(model, heldOut.sequences, batch),
  );
  const directory = await RunDirectory.open(options.output!, options.resume !== null);
  try {
    const run: TrainingRun = {
      command: "sft",
      options,
      context: context as Context,
      device,
      training,
      directory,
      source,
      model: stored?.identity ?? (() => identityOfRandom(checkpoint)),
      reference: () => Promise.resolve(null),
      data: [dataset.record(), ...heldOut ? [heldOut.record] : []],
      plan: dataset.plan,
      order: dataset.order,
      stream: dataset.stream,
      startedAt,
      memory,
      header,
    };
    const { lines, details } = dataset.header();
    const { total, trained } = training.parameters;
    const { info, features } = device.gpu;
    header.say(`device     ${deviceShortly(device)}`);
    header.detail(`engine     ${info.engine}, ${featuresInWords(features)}`);
    header.say(`model      ${options.model}: ${total} weights, ${trained} trained`);
    for (const line of lines) header.say(line);
    for (const line of details) header.detail(line);
    if (heldOut) {
      header.say(`held out   ${options.evalDataset}: ${countsInWords(heldOut.counts, "rows")}`);
    }
    header.say(`memory     ${dataset.stream ? "at most " : ""}${totalInWords(memory)}`);
    header.detail(`memory     ${planInWords(memory)}`);
    header.say(`steps      ${run.plan.totalSteps}, ${run.plan.rowsPerStep} rows each`);
    header.say(`output     ${directory.path}`);
    const firstStep = await resumeRun(run);
    const evaluateAt = async (step: number) => {
      if (!heldOut) return;
      const metrics = await evaluateSft(training.model, heldOut.sequences, batch);
      directory.log({ step, ...metrics });
      context.stderr.write(`held out   loss ${metrics.eval_loss.toFixed(4)} after step ${step}\n`);
    };
    if (firstStep === 0) await evaluateAt(0);
    releaseScratch(training);
    if (!dataset.stream) reserveStep(training, largest.rows);
    const done = await runLoop(run, firstStep, ({ loss }) => ({ loss }));
    if (done < run.plan.totalSteps) return INTERRUPTED;
    releaseScratch(training);
    await evaluateAt(done);
    if (dataset.stream) {
      const { counts } = dataset.stream.position;
      context.stderr.write(`data       read ${countsInWords(counts, "rows")}\n`);
      run.data[0] = dataset.record();
    }
    const { durationSeconds } = await saveRun(run, []);
    const last = directory.metrics.at(-1)!;
    if (options.json) {
      context.stdout.write(`${JSON.stringify({ output: directory.path, ...last })}\n`);
    } else {
      context.stderr.write(
        `saved      ${directory.path} after ${durationSeconds} s\n` +
          `next       align it: ${invocation()} task train --model ${directory.path}\n`,
      );
    }
    if (target && await pushToHub(target, directory.path, context) === null) return INTERRUPTED;
    return 0;
  } finally {
    await dataset.stream?.close();
    await directory.close();
  }
}

/** Of random weights, which follow from the seed among the options. */
async function identityOfRandom({ config }: Checkpoint): Promise<ModelIdentity> {
  return { config: await cacheKey(config), weights: "random" };
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
