/// <reference lib="deno.worker" />
/**
 * The one owner of the GPU while a server runs: every wait for the GPU stops its thread, and must not stop HTTP's. Answers the
 * messages of messages.ts.
 *
 * @module
 */
import { UserError } from "../../errors.ts";
import { LocalServing } from "../../serve/local_serving.ts";
import type { Output } from "../context.ts";
import { openDevice } from "../device.ts";
import type { FromWorker, ServingSetup, Task, ToWorker } from "./messages.ts";
import { openStoredModel } from "../inputs.ts";

const say = (message: FromWorker) => self.postMessage(message);
const running = new Map<number, AbortController>();
let serving: LocalServing;

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === "cancel") return running.get(data.id)?.abort();
  const id = data.kind === "task" ? data.id : undefined;
  try {
    if (data.kind === "setup") {
      serving = await open(data.setup);
      say({ kind: "ready", models: serving.models });
    } else {
      say({ kind: "done", id: data.id, result: await perform(data.id, data.task) });
    }
  } catch (error) {
    const mendable = error instanceof UserError || error instanceof RangeError;
    const text = error instanceof Error ? (mendable ? error.message : error.stack) : `${error}`;
    say({ kind: "failed", id, message: text ?? "", mendable });
  }
};

async function open(setup: ServingSetup): Promise<LocalServing> {
  const { device, models, slots, positions, cacheMiB } = setup;
  const line = (text: string) => say({ kind: "say", line: text });
  const lines = { write: (text: string) => text.split("\n").filter(Boolean).forEach(line) };
  const stream: Output = { ...lines, columns: () => null };
  const { gpu, precision, precisionReason } =
    (await openDevice(device, { stdout: stream, stderr: stream }))!;
  line(
    `device     ${gpu.info.description} (${gpu.info.engine}), ${precision}: ${precisionReason}`,
  );
  const stored = await Promise.all(
    models.map(({ path }) => openStoredModel(path, { stderr: stream })),
  );
  const elementBytes = precision === "f16" ? 2 : 4;
  const tokenBytes = Math.max(
    ...stored.map(({ config }) =>
      2 * config.numKvHeads * config.headSize * config.numLayers * elementBytes
    ),
  );
  const cacheRows = Math.floor(cacheMiB * 2 ** 20 / tokenBytes);
  const serving = new LocalServing(gpu, { precision, slots, positions, cacheRows });
  for (const [i, { name, path }] of models.entries()) {
    const served = await serving.add(name, stored[i]);
    line(`model      ${name}: ${path}, up to ${served.positions} tokens`);
  }
  return serving;
}

async function perform(id: number, task: Task): Promise<unknown> {
  switch (task.kind) {
    case "generate": {
      const controller = new AbortController();
      running.set(id, controller);
      try {
        return await serving.generate(task.model, {
          ...task.request,
          signal: controller.signal,
          onTokens: (tokens) => say({ kind: "tokens", id, tokens }),
        });
      } finally {
        running.delete(id);
      }
    }
    case "promptLogprobs":
      return await serving.promptLogprobs(task.model, task.prompt, task.top);
    case "score":
      return await serving.score(task.model, task.pairs);
    case "load":
      return await serving.load();
  }
}
