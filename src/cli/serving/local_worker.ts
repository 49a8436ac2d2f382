import type { Command, Resolved } from "../../config.ts";
import type { EvaluationResults, Evaluator } from "../../serve/evaluations.ts";
import type { Watch } from "../../serve/job_queue.ts";
import { LocalServing } from "../../serve/local_serving.ts";
import type { ModelHost, ServedModel } from "../../serve/serving.ts";
import type { Trainer } from "../../serve/trainings.ts";
import type { Context, Output } from "../context.ts";
import { run as evaluate } from "../eval.ts";
import { openStoredModel } from "../inputs.ts";
import { run as train } from "../train.ts";

/**
 * Runs the commands `train` and `eval` beside a server's answers, in the same thread. Both have their turn: a command works
 * for as long as all submits of answers did that were due, within the bounds of src/gpu/turns.ts, and then they are due again.
 * What cannot be split lasts longer: a single kernel, its compilation, the audit of a dataset (15 ms per thousand pairs).
 *
 * A command has a device of its own: all of its memory is free when it ends, and its failures end it alone.
 */
export class LocalWorker extends LocalServing implements ModelHost, Trainer, Evaluator {
  async addModel(
    { name, path, root }: { name: string; path: string; root: string },
  ): Promise<ServedModel> {
    return await this.add(
      name,
      () => openStoredModel(path, { stderr: linesTo(() => {}) }),
      root,
    );
  }

  async train(resolved: Resolved<"train">, watch: Watch): Promise<boolean> {
    const context = contextOf(resolved, watch, () => {});
    return await train(resolved.options, context, watch) === 0;
  }

  async evaluate(resolved: Resolved<"eval">, watch: Watch): Promise<EvaluationResults | null> {
    let results: EvaluationResults = {};
    const context = contextOf(resolved, watch, (line) => results = JSON.parse(line));
    return await evaluate(resolved.options, context) === 0 ? results : null;
  }
}

function contextOf<C extends Command>(
  resolved: Resolved<C>,
  { signal, onLine }: Watch,
  onResult: (line: string) => void,
): Context<C> {
  const stdin: Context["stdin"] = {
    isTerminal: () => false,
    text: () => Promise.resolve(""),
    line: () => Promise.resolve(null),
  };
  const [stdout, stderr] = [onResult, onLine].map(linesTo);
  return { stdin, stdout, stderr, signal, resolved, sharesThread: true };
}

/** @returns An output that is handed on a line at a time, as every write of ours is whole lines. */
export function linesTo(tell: (line: string) => void): Output {
  return {
    write: (text) => text.split("\n").filter(Boolean).forEach(tell),
    columns: () => null,
  };
}
