// This module is browser compatible.
import type { Options, Resolved } from "../config/resolve.ts";
import type { Checkpoint } from "../model/load.ts";
import { startSft } from "../train/training.ts";
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { readConfig } from "../model/directory.ts";
import { randomWeights } from "../model/random_weights.ts";
import type { MetricsLine } from "../report/run_record.ts";
import { factsOf } from "../report/words.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { identifyConfig, type ModelIdentity } from "../train/identity.ts";
import { fitMemory } from "../train/fit_memory.ts";
import { checkBatch, releaseScratch, reserveStep } from "../train/memory_plan.ts";
import { evaluateSft } from "../train/sft.ts";
import { beginOf } from "./begin.ts";
import { openCaches } from "./caches.ts";
import { EvaluationPlan } from "./evaluation_plan.ts";
import type { Emit } from "./events.ts";
import { dataOptions, heldOutDatasets, metricsOfSet, openModel } from "./inputs.ts";
import type { Ports } from "./ports.ts";
import {
  resumeRun,
  RunEvents,
  runLoop,
  saveRun,
  type TrainingResult,
  type TrainingRun,
} from "./training_run.ts";
import { loadSequencesFrom, openTrainingSequences } from "./training_sequences.ts";

/**
 * Next-token training: where DPO's starting model comes from.
 *
 * @param emit Gets what happens, in order.
 * @throws {UserError} If options, model or data do not fit together.
 */
export async function sft(
  resolved: Resolved<"sft">,
  ports: Ports,
  emit: Emit,
): Promise<TrainingResult> {
  const { options, origins } = resolved;
  const startedAt = ports.now();
  const events = new RunEvents(emit);
  const source = await ports.openModelFiles(options.model);
  using stored = options.randomWeights ? null : await openModel(options.model, ports, events.emit);
  const checkpoint: Checkpoint = stored ?? await freshCheckpoint(source, options);
  const begunAt = await beginOf(options, ports);
  const data = { ...dataOptions(options, checkpoint, options.score), now: begunAt.getTime() };
  const text = { directory: source, tokenizer: await loadTokenizer(source) };
  const caches = openCaches(options, "write", ports, events.emit);
  const rows = await openTrainingSequences(options, text, data, caches);
  const heldOut: Awaited<ReturnType<typeof loadSequencesFrom>>[] = [];
  for (const named of heldOutDatasets(options)) {
    heldOut.push(await loadSequencesFrom(named, text, data, caches));
  }

  const device = await ports.openDevice(options);
  using gpu = device.gpu;
  const { largest, plan } = rows;
  const training = await startSft(gpu, checkpoint, rows.rows, options, device.precision);
  checkBatch(training.model, largest(training.limits).tokens);
  const batch = { limits: training.limits, scope: options.score };
  const memory = await fitMemory(
    training,
    largest,
    options,
    async ({ model }) => {
      for (const { sequences } of heldOut) await evaluateSft(model, sequences, batch);
    },
  );

  const announce = (output: string) =>
    events.emit({
      type: "planned",
      plan: {
        command: "sft",
        options,
        origins,
        device: factsOf(device),
        parameters: training.parameters,
        data: rows.data(),
        heldOut: heldOut.map(({ record }) => ({ data: record, strong: null })),
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
    const run: TrainingRun = {
      resolved,
      ports,
      events,
      device,
      training,
      output,
      source,
      model: stored?.identity ?? (() => identityOfRandom(checkpoint)),
      base: stored?.adapted?.base ??
        { name: options.model, identity: stored?.identity ?? (() => identityOfRandom(checkpoint)) },
      reference: () => Promise.resolve(null),
      data: [rows.data().record, ...heldOut.map(({ record }) => record)],
      plan,
      order: rows.order,
      stream: rows.stream,
      startedAt,
      begunAt,
      memory,
      course: { beta: null, lossOfEquals: null, chosenTokens: null },
      evaluation: EvaluationPlan.none,
    };
    announce(output.path);
    const firstStep = await resumeRun(run);
    const evaluateAt = async (step: number) => {
      if (heldOut.length === 0) return;
      const metrics: MetricsLine = { step };
      for (const { sequences, record } of heldOut) {
        const found = await evaluateSft(training.model, sequences, batch);
        Object.assign(metrics, metricsOfSet(record.set, found));
      }
      output.log(metrics);
      events.emit({ type: "evaluated", metrics });
    };
    if (firstStep === 0) await evaluateAt(0);
    releaseScratch(training);
    if (!rows.stream) reserveStep(training, largest(training.limits).rows);
    const { steps, isAll } = await runLoop(run, firstStep);
    const result = { steps, output: output.path, metrics: output.metrics };
    if (!isAll) return { ...result, finished: false };
    releaseScratch(training);
    await evaluateAt(steps);
    if (rows.stream) {
      const { record } = rows.data();
      events.emit({ type: "streamed", data: record, unit: "rows" });
      run.data[0] = record;
    }
    await saveRun(run, []);
    return { ...result, finished: true };
  } finally {
    await rows.stream?.close();
    await output.close();
  }
}

/** Of random weights, which follow from the seed among the options. */
async function identityOfRandom({ config }: Checkpoint): Promise<ModelIdentity> {
  return { config: await identifyConfig(config), weights: "random" };
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
