/**
 * smoldpo as a library, on Deno: what the command line does, as functions that take the same options by name and print
 * nothing.
 *
 * ```ts
 * import { generate, train } from "@smoldpo/smoldpo";
 *
 * const { output, metrics } = await train({ dataset: "pairs.jsonl", maxSteps: 100 });
 * const { text } = await generate({ model: output, prompt: "How many hearts has an octopus?" });
 * ```
 *
 * What differs where there is no Deno is a {@link Ports} of one's own, for `train` and the others of src/run.
 *
 * @module
 */
import { type Command, type Options, type Resolved, resolveOptions } from "./config/resolve.ts";
import { localPorts } from "./platform/local_ports.ts";
import { evaluate as runEvaluation, type EvaluationResult } from "./run/evaluate.ts";
import type { Emit } from "./run/events.ts";
import { generate as runGeneration } from "./run/generate.ts";
import type { Ports } from "./run/ports.ts";
import { score as runScoring } from "./run/score.ts";
import { sft as runSft } from "./run/sft.ts";
import { sweep as runSweep, type SweepResult } from "./run/sweep.ts";
import type { Answer } from "./run/speaker.ts";
import { train as runTraining } from "./run/train.ts";
import type { TrainingResult } from "./run/training_run.ts";
import type { AnswerScore, PairScore } from "./dpo/evaluate.ts";

export type { Answer, AnswerScore, EvaluationResult, PairScore, SweepResult, TrainingResult };
export type { Options } from "./config/resolve.ts";
export { NonFiniteError, UserError } from "./errors.ts";
export type { RunEvent } from "./run/events.ts";

/** Options of a command by their names in `--help`, in camel case; what is missing has the same default as there. */
export type Given<C extends Command> = Partial<Options<C>>;

/** Who watches, and who interrupts. */
export interface Watching {
  /** Gets what happens, in order. */
  onEvent?: Emit;
  /** Ends the work where it can go on from; a training writes a checkpoint then. */
  signal?: AbortSignal;
}

/**
 * Aligns a model with preference pairs by DPO, as `deno task train` does.
 *
 * @returns Where the run directory is, and its metrics.
 * @throws {UserError} If options, models or data do not fit together; the message says what to do.
 */
export function train(given: Given<"train"> = {}, watching?: Watching): Promise<TrainingResult> {
  return perform("train", runTraining, given, watching);
}

/**
 * Trains once for each combination of the values in `grid`, as `deno task sweep` does.
 *
 * @returns What each run measured.
 * @throws {UserError} As {@link train}.
 */
export function sweep(
  given: Given<"sweep"> & Given<"train">,
  watching?: Watching,
): Promise<SweepResult> {
  return perform("sweep", runSweep, given, watching);
}

/**
 * Trains a model on text, as `deno task sft` does.
 *
 * @throws {UserError} As {@link train}.
 */
export function sft(given: Given<"sft"> = {}, watching?: Watching): Promise<TrainingResult> {
  return perform("sft", runSft, given, watching);
}

/**
 * Measures a model against a reference on preference pairs, as `deno task eval` does.
 *
 * @returns null if the signal ended it.
 * @throws {UserError} As {@link train}.
 */
export function evaluate(
  given: Given<"eval"> = {},
  watching?: Watching,
): Promise<EvaluationResult | null> {
  return perform("eval", runEvaluation, given, watching);
}

/**
 * Log-probabilities of every pair or single answer of a dataset, in its order, as `deno task score` gives them.
 *
 * @throws {UserError} As {@link train}.
 */
export async function score(
  given: Given<"score"> = {},
  { onEvent = () => {}, signal }: Watching = {},
): Promise<(PairScore | AnswerScore)[]> {
  const scores: (PairScore | AnswerScore)[] = [];
  const take: Emit = (event) => {
    if (event.type === "scored") scores.push(event.score);
    onEvent(event);
  };
  await perform("score", runScoring, given, { onEvent: take, signal });
  return scores;
}

/**
 * Continues a prompt, as `deno task generate` does.
 *
 * @throws {UserError} As {@link train}.
 */
export function generate(given: Given<"generate">, watching?: Watching): Promise<Answer> {
  return perform("generate", runGeneration, given, watching);
}

async function perform<C extends Command, T>(
  command: C,
  run: (resolved: Resolved<C>, ports: Ports, emit: Emit) => Promise<T>,
  given: Given<C>,
  { onEvent = () => {}, signal }: Watching = {},
): Promise<T> {
  const flags = Object.entries(given).filter(([, value]) => value !== undefined);
  return await run(resolveOptions(command, { flags }), localPorts({ signal, say }), onEvent);
}

/** What is said of drivers is for the command line. */
function say(): void {}
