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
import { answerCalls, type Methods, toSend } from "./calls.ts";
import { LocalWorker } from "./local_worker.ts";
import type { FromWorker, RemoteMethod, ServingSetup, ToWorker } from "./messages.ts";

const say = (message: FromWorker) => self.postMessage(message);
let serving: LocalWorker;
const answer = answerCalls((method, args) => {
  const methods: Methods<RemoteMethod> = serving;
  return methods[method as RemoteMethod](...args);
}, say);

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind !== "setup") return await answer(data);
  try {
    serving = await open(data.setup);
    say({ kind: "ready", models: serving.models });
  } catch (error) {
    say({ kind: "unready", error: toSend(error) });
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
  const rank = (model: typeof models[number]) => stored[models.indexOf(model)].adapted ? 1 : 0;
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
  // Adapters share the weights of a model that is there before them.
  const wholeFirst = models.toSorted((a, b) => rank(a) - rank(b));
  for (const { name, path, root } of wholeFirst) {
    const served = await serving.add(name, () => openStoredModel(path), root);
    line(`model      ${name}: ${path}, up to ${served.positions} tokens`);
  }
  return serving;
}
