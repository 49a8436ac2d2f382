import type { Resolved } from "../../config/resolve.ts";
import { localPorts } from "../local_ports.ts";
import { openStoredModel } from "../models.ts";
import { evaluate } from "../../run/evaluate.ts";
import { train } from "../../run/train.ts";
import type { EvaluationResults, Evaluator } from "../../serve/evaluations.ts";
import type { Watch } from "../../serve/job_queue.ts";
import { LocalServing } from "../../serve/local_serving.ts";
import type { ModelHost, ServedModel } from "../../serve/serving.ts";
import type { Trainer } from "../../serve/trainings.ts";

/**
 * Trains and evaluates beside a server's answers, in the same thread. Both have their turn: a job works for as long as all
 * submits of answers did that were due, within the bounds of src/gpu/turns.ts, and then they are due again. What cannot be split
 * lasts longer: a single kernel, its compilation, the audit of a dataset (15 ms per thousand pairs).
 *
 * A job has a device of its own: all of its memory is free when it ends, and its failures end it alone.
 */
export class LocalWorker extends LocalServing implements ModelHost, Trainer, Evaluator {
  async addModel(
    { name, path, root }: { name: string; path: string; root: string },
  ): Promise<ServedModel> {
    return await this.add(name, () => openStoredModel(path), root);
  }

  async train(resolved: Resolved<"train">, { signal, onEvent }: Watch): Promise<boolean> {
    return (await train(resolved, portsBeside(signal), onEvent)).finished;
  }

  async evaluate(
    resolved: Resolved<"eval">,
    { signal, onEvent }: Watch,
  ): Promise<EvaluationResults | null> {
    const result = await evaluate(resolved, portsBeside(signal), onEvent);
    if (result === null) return null;
    const { metrics, ...rest } = result;
    return { ...metrics, ...rest };
  }
}

/** What is said of drivers was said when the server began. */
function portsBeside(signal: AbortSignal) {
  return localPorts({ signal, say: () => {}, sharesThread: true });
}
