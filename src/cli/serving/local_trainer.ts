import type { LocalServing } from "../../serve/local_serving.ts";
import type { Trainer, TrainingOrder, TrainingWatch } from "../../serve/jobs.ts";
import type { ServedModel } from "../../serve/serving.ts";
import type { Context, Output } from "../context.ts";
import { openStoredModel } from "../inputs.ts";
import { run as train } from "../train.ts";

/**
 * Runs the command `train` beside a server's answers, in the same thread: between two optimizer steps all submits of answers
 * that are due have their turn, and between two submits a step. So an answer waits for one step per submit at most, and a step
 * for one submit (50 ms) per model that answers. Kernels are compiled in the first steps, which last as long as that takes.
 *
 * The training has a device of its own: all of its memory is free when it ends, and its failures end it alone.
 */
export class LocalTrainer implements Trainer {
  constructor(readonly serving: LocalServing) {}

  async train(
    { name, root, resolved }: TrainingOrder,
    watch: TrainingWatch,
  ): Promise<ServedModel | null> {
    const stderr = linesTo(watch.onLine);
    const context: Context<"train"> = {
      stdin: NOBODY,
      stdout: linesTo(() => {}),
      stderr,
      signal: watch.signal,
      resolved,
    };
    const { options } = resolved;
    if (await train(options, context, watch) !== 0) return null;
    using trained = await openStoredModel(options.output!, { stderr });
    return await this.serving.add(name, trained, root);
  }
}

const NOBODY: Context["stdin"] = {
  isTerminal: () => false,
  text: () => Promise.resolve(""),
  line: () => Promise.resolve(null),
};

/** @returns An output that is handed on a line at a time, as every write of ours is whole lines. */
export function linesTo(tell: (line: string) => void): Output {
  return {
    write: (text) => text.split("\n").filter(Boolean).forEach(tell),
    columns: () => null,
  };
}
