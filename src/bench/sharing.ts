// This module is browser compatible.
/**
 * What training and answers in one thread cost each other: the latency of both, alone and beside the other, with steps that
 * are done as a whole and with steps in turns (src/gpu/turns.ts).
 *
 * @module
 */
import type { PreferencePair } from "../data/pairs.ts";
import { loadModel } from "../model/load.ts";
import { Batcher } from "../generate/batcher.ts";
import type { Gpu } from "../gpu/device.ts";
import { Readback } from "../gpu/readback.ts";
import { GREEDY } from "../kernels/sample.ts";
import type { Operand } from "../kernels/shapes.ts";
import type { ModelConfig } from "../model/config.ts";
import { trainingStep } from "../train/step.ts";
import { median } from "./timing.ts";
import { benchTraining, noiseWeights } from "./training.ts";

export interface SharingSizes {
  /** What the table calls it. */
  name: string;
  config: ModelConfig;
  /** Of a step. */
  pairs: PreferencePair[];
  /** Tokens of a prompt and of its answer. */
  promptTokens: number;
  newTokens: number;
  /** At least so many of each in a repetition, in which all ways are measured in turn. */
  answers: number;
  steps: number;
  repetitions: number;
}

/** Medians, in milliseconds; null for what a row is without. */
export interface SharingSpeed {
  /** What runs. */
  way: string;
  firstTokenMilliseconds: number | null;
  answerMilliseconds: number | null;
  slowestAnswerMilliseconds: number | null;
  stepMilliseconds: number | null;
}

/** Devices that have nothing in common but their thread. */
export interface SharingDevices {
  answers: Gpu;
  wholeSteps: Gpu;
  stepsInTurns: Gpu;
}

/** One thing done over and over, one at a time. */
type Work<T> = () => Promise<T>;

interface Answer {
  firstTokenMs: number;
  ms: number;
}

/** A client that asks again as soon as it has its answer, and training without end. */
export async function benchSharing(
  { answers, wholeSteps, stepsInTurns }: SharingDevices,
  precision: Operand,
  sizes: SharingSizes,
): Promise<SharingSpeed[]> {
  stepsInTurns.share();
  const answer = await answering(answers, precision, sizes);
  const wholeStep = await stepping(wholeSteps, precision, sizes);
  const stepInTurns = await stepping(stepsInTurns, precision, sizes);
  const ways = [
    { way: "answers alone", answer },
    { way: "whole steps alone", step: wholeStep },
    { way: "steps in turns, alone", step: stepInTurns },
    { way: "answers beside whole steps", answer, step: wholeStep },
    { way: "answers beside steps in turns", answer, step: stepInTurns },
  ];
  const found = ways.map(() => ({ answers: [] as Answer[], steps: [] as number[] }));
  for (let i = 0; i < sizes.repetitions; i++) {
    for (const [way, { answer, step }] of ways.entries()) {
      const times = await together(answer, step, sizes);
      found[way].answers.push(...times.answers);
      found[way].steps.push(...times.steps);
    }
  }
  return found.map(({ answers, steps }, i) => {
    const of = (values: number[], summary: (values: number[]) => number) =>
      values.length > 0 ? summary(values) : null;
    const answerMs = answers.map(({ ms }) => ms);
    return {
      way: ways[i].way,
      firstTokenMilliseconds: of(answers.map(({ firstTokenMs }) => firstTokenMs), median),
      answerMilliseconds: of(answerMs, median),
      slowestAnswerMilliseconds: of(answerMs, (all) => Math.max(...all)),
      stepMilliseconds: of(steps, median),
    };
  });
}

async function answering(
  gpu: Gpu,
  precision: Operand,
  { config, promptTokens, newTokens }: SharingSizes,
): Promise<Work<Answer>> {
  const positions = promptTokens + newTokens;
  const checkpoint = { config, read: noiseWeights(config) };
  const model = await loadModel(gpu, checkpoint, { precision, positions });
  const batcher = new Batcher(model, { cacheRows: positions, slots: 1 });
  let asked = 0;
  const answer = async () => {
    const offset = asked++ * 31; // no prompt begins like the one before
    const prompt = Array.from(
      { length: promptTokens },
      (_, i) => (offset + i * 7) % config.vocabSize,
    );
    const begin = performance.now();
    let first = 0;
    await batcher.add({
      prompt,
      maxNewTokens: newTokens,
      sampling: GREEDY,
      stopIds: [],
      onTokens: () => first ||= performance.now(),
    });
    return { firstTokenMs: first - begin, ms: performance.now() - begin };
  };
  await answer(); // compiles
  return answer;
}

async function stepping(
  gpu: Gpu,
  precision: Operand,
  { config, pairs }: SharingSizes,
): Promise<Work<number>> {
  const { model, optimizer, steps } = await benchTraining(gpu, precision, config, pairs);
  const readback = new Readback(gpu);
  const rows = Uint32Array.from(pairs.keys());
  const step = async () => {
    const begin = performance.now();
    trainingStep(model, optimizer, steps(rows, readback).microBatches, 0, readback);
    await readback.fetch();
    return performance.now() - begin;
  };
  await step(); // compiles, and scores the pairs under the reference
  return step;
}

/** Both at the same time, each over and over until there is enough of both. */
async function together(
  answer: Work<Answer> | undefined,
  step: Work<number> | undefined,
  sizes: Pick<SharingSizes, "answers" | "steps">,
): Promise<{ answers: Answer[]; steps: number[] }> {
  const answers: Answer[] = [];
  const steps: number[] = [];
  const enough = () =>
    (!answer || answers.length >= sizes.answers) && (!step || steps.length >= sizes.steps);
  const repeat = async <T>(work: Work<T> | undefined, times: T[]) => {
    while (work && !enough()) times.push(await work());
  };
  await Promise.all([repeat(step, steps), repeat(answer, answers)]);
  return { answers, steps };
}
