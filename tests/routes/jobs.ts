/** What tests of jobs have in common. */
import assert from "node:assert/strict";
import { nextEvents } from "../../src/gpu/turns.ts";
import type { Evaluator } from "../../src/serve/evaluations.ts";
import type { Trainer } from "../../src/serve/trainings.ts";
import type { workshop } from "./served.ts";

export const JOBS = "/v1/fine_tuning/jobs";

/** The smallest training there is. */
export const tiny = (rest: object = {}) => ({
  model: "policy",
  training_file: "fixtures",
  method: { type: "dpo", dpo: { hyperparameters: { batch_size: 2, beta: 0.3, n_epochs: "auto" } } },
  smoldpo: { max_steps: 3, max_length: 64, learning_rate: 1e-3, truncation: "prompt_first" },
  seed: 7,
  ...rest,
});

/** The live events of a job, as JSON, and their ids; to the end of the stream. */
export async function live({ ask }: ReturnType<typeof workshop>, id: string, lastEventId?: string) {
  const headers = {
    accept: "text/event-stream",
    ...lastEventId ? { "last-event-id": lastEventId } : {},
  };
  const { body } = await ask(`${JOBS}/${id}/events`, undefined, { headers });
  const blocks: string[] = body.split("\n\n").filter(Boolean);
  assert.equal(blocks.at(-1), "data: [DONE]");
  return blocks.slice(0, -1).map((block) => {
    const [, id, data] = /^id: (.+)\ndata: (.+)$/.exec(block)!;
    assert.equal(JSON.parse(data).id, id);
    return JSON.parse(data);
  });
}

/** A trainer that ends when it is told to, with the shipped model; stopped earlier it leaves a checkpoint, of no content. */
export class StandIn implements Trainer, Evaluator {
  readonly begun: string[] = [];
  readonly resumed: (string | null)[] = [];
  end = Promise.withResolvers<void>();

  async train(...[{ options }, watch]: Parameters<Trainer["train"]>) {
    this.begun.push(options.output!);
    this.resumed.push(options.resume);
    const ended = await this.#ended(watch.signal);
    const left = ended ? "" : "/checkpoints/step-1";
    await Deno.mkdir(`${options.output!}${left}`, { recursive: true });
    if (!ended) return false;
    for await (const { name } of Deno.readDir("fixtures/model")) {
      await Deno.copyFile(`fixtures/model/${name}`, `${options.output}/${name}`);
    }
    return true;
  }

  async evaluate(...[, watch]: Parameters<Evaluator["evaluate"]>) {
    return await this.#ended(watch.signal) ? { eval_loss: 1 } : null;
  }

  /** Waits until so many trainings have begun. */
  async hasBegun(count: number): Promise<void> {
    while (this.begun.length < count) await nextEvents();
  }

  async #ended(signal: AbortSignal): Promise<boolean> {
    const stopped = new Promise<boolean>((resolve) =>
      signal.addEventListener("abort", () => resolve(false))
    );
    const ended = await Promise.race([stopped, this.end.promise.then(() => true)]);
    this.end = Promise.withResolvers();
    return ended;
  }
}
