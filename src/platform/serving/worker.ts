/// <reference lib="deno.worker" />
/**
 * The one owner of the GPU while a server runs: every wait for the GPU stops its thread, and must not stop HTTP's. Answers the
 * messages of messages.ts.
 *
 * @module
 */
import { openDevice } from "../device.ts";
import { openStoredModel } from "../models.ts";
import { deviceInWords, factsOf } from "../../report/words.ts";
import type { Watch } from "../../serve/job_queue.ts";
import { LocalWorker } from "./local_worker.ts";
import {
  type FromWorker,
  type ServingSetup,
  type Task,
  toSend,
  type ToWorker,
} from "./messages.ts";

const say = (message: FromWorker) => self.postMessage(message);
const running = new Map<number, AbortController>();
let serving: LocalWorker;

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
    say({ kind: "failed", id, error: toSend(error) });
  }
};

async function open(setup: ServingSetup): Promise<LocalWorker> {
  const { device, models, slots, positions, cacheMiB } = setup;
  const line = (text: string) => say({ kind: "say", line: text });
  const openGpu = async () => await openDevice(device, { say: line });
  const opened = await openGpu();
  const { gpu, precision } = opened;
  line(`device     ${deviceInWords(factsOf(opened))}`);
  using files = new DisposableStack();
  const stored = await Promise.all(
    models.map(async ({ path }) => files.use(await openStoredModel(path))),
  );
  for (const { notes } of stored) for (const note of notes) line(`weights    ${note}`);
  const elementBytes = precision === "f16" ? 2 : 4;
  const tokenBytes = Math.max(
    ...stored.map(({ config }) =>
      2 * config.numKvHeads * config.headSize * config.numLayers * elementBytes
    ),
  );
  const cacheRows = Math.floor(cacheMiB * 2 ** 20 / tokenBytes);
  const serving = new LocalWorker(gpu, { precision, slots, positions, cacheRows }, {
    openDevice: async () => (await openGpu()).gpu,
    onOutage(outage) {
      line(
        outage ? `error      ${outage}: opening it again` : "device     open again, models loaded",
      );
      say({ kind: "outage", outage });
    },
  });
  for (const { name, path, root } of models) {
    const served = await serving.add(name, () => openStoredModel(path), root);
    line(`model      ${name}: ${path}, up to ${served.positions} tokens`);
  }
  return serving;
}

async function perform(id: number, task: Task): Promise<unknown> {
  switch (task.kind) {
    case "generate":
      return await cancellable(id, (signal) =>
        serving.generate(task.model, {
          ...task.request,
          signal,
          onTokens: (tokens) => say({ kind: "tokens", id, tokens }),
        }));
    case "train":
      return await watched(id, (watch) => serving.train(task.resolved, watch));
    case "evaluate":
      return await watched(id, (watch) => serving.evaluate(task.resolved, watch));
    case "addModel":
      return await serving.addModel(task.model);
    case "removeModel":
      return await serving.removeModel(task.model);
    case "promptLogprobs":
      return await serving.promptLogprobs(task.model, task.prompt, task.top);
    case "score":
      return await serving.score(task.model, task.pairs);
    case "load":
      return await serving.load();
  }
}

function watched<T>(id: number, work: (watch: Watch) => Promise<T>): Promise<T> {
  return cancellable(
    id,
    (signal) => work({ signal, onEvent: (event) => say({ kind: "event", id, event }) }),
  );
}

async function cancellable<T>(id: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  running.set(id, controller);
  try {
    return await work(controller.signal);
  } finally {
    running.delete(id);
  }
}
