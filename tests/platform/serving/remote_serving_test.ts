import assert from "node:assert/strict";
import { RemoteServing } from "../../../src/platform/serving/remote_serving.ts";
import { UnavailableError, UserError } from "../../../src/errors.ts";
import { nextEvents } from "../../../src/gpu/turns.ts";
import { GREEDY } from "../../../src/kernels/sample.ts";

const engine = (Deno.env.get("SMOLDPO_ENGINE") ?? "deno") as "deno" | "dawn";

/** Those that were started. */
const workers: Worker[] = [];

async function start(say: (line: string) => void): Promise<RemoteServing> {
  const Original = globalThis.Worker;
  globalThis.Worker = class extends Original {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      workers.push(this);
    }
  };
  return await RemoteServing.start({
    device: { engine, adapter: null, precision: "f32" },
    models: [{ name: "policy", path: "fixtures/model" }],
    slots: 2,
    positions: 64,
    cacheMiB: 1,
  }, say);
}

Deno.test("a worker's errors come as what they were, and another takes the place of one that has died", async () => {
  const said: string[] = [];
  const serving = await start((line) => said.push(line));
  try {
    const request = { prompt: [5, 6], maxNewTokens: 20, sampling: GREEDY, stopIds: [] };
    const ask = (more = {}) => serving.generate("policy", { ...request, ...more });
    const sound = await ask();
    await assert.rejects(ask({ prompt: [512] }), (error: Error) => error instanceof UserError);
    await assert.rejects(ask({ sampling: { ...GREEDY, topP: 2 } }), (error: Error) => {
      assert.ok(!(error instanceof UserError), "a defect of whoever let it pass");
      assert.match(error.stack!, /RangeError: .*topP[^]*at checkSampling/);
      return true;
    });
    const throws = () => {
      throw new Error("listener");
    };
    const [bad, good] = await Promise.allSettled([ask({ onTokens: throws }), ask()]);
    assert.deepEqual(bad.status === "rejected" && bad.reason.message, "listener");
    assert.deepEqual(good, { status: "fulfilled", value: sound });
    while ((await serving.load()).running > 0); // it was told to end the other one

    const [worker] = workers;
    const tell = (outage: string | null) =>
      worker.dispatchEvent(new MessageEvent("message", { data: { kind: "outage", outage } }));
    tell("The GPU was lost (a reason)");
    assert.equal(serving.outage, "The GPU was lost (a reason)");
    tell(null);
    assert.equal(serving.outage, null);

    await serving.addModel({ name: "second", path: "fixtures/model", root: "policy" });
    const inWork = ask({ maxNewTokens: 60 });
    said.length = 0;
    worker.dispatchEvent(new ErrorEvent("error", { message: "boom" }));
    const message = "The GPU's thread failed (boom): it is started again, so ask again shortly";
    await assert.rejects(inWork, { name: "UnavailableError", message });
    await assert.rejects(ask(), UnavailableError);
    await assert.rejects(serving.load(), UnavailableError);
    assert.equal(serving.outage, "The GPU's thread failed (boom)");
    assert.deepEqual(said, ["error      The GPU's thread failed (boom): starting it again"]);
    while (serving.outage !== null) await nextEvents();
    assert.equal(workers.length, 2);
    assert.deepEqual(serving.models.map(({ name, root }) => [name, root]), [
      ["policy", "policy"],
      ["second", "policy"],
    ]);
    assert.deepEqual(await ask(), sound);
  } finally {
    serving.close();
  }
  await assert.rejects(serving.load(), { message: "The server was closed" });
});
