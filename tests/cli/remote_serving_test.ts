import assert from "node:assert/strict";
import { RemoteServing } from "../../src/cli/serving/remote_serving.ts";
import { UnavailableError, UserError } from "../../src/errors.ts";
import { GREEDY } from "../../src/kernels/sample.ts";

const engine = (Deno.env.get("SMOLDPO_ENGINE") ?? "deno") as "deno" | "dawn";

Deno.test("a worker's errors come as what they were, and one that has died fails whoever asks", async () => {
  const said: string[] = [];
  const serving = await RemoteServing.start({
    device: { engine, adapter: null, precision: "f32" },
    models: [{ name: "policy", path: "fixtures/model" }],
    slots: 2,
    positions: 64,
    cacheMiB: 1,
  }, (line) => said.push(line));
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
    assert.equal(serving.outage, null);

    const tell = (outage: string | null) =>
      serving.worker.dispatchEvent(
        new MessageEvent("message", { data: { kind: "outage", outage } }),
      );
    tell("The GPU was lost (a reason)");
    assert.equal(serving.outage, "The GPU was lost (a reason)");
    tell(null);
    assert.equal(serving.outage, null);

    const inWork = ask({ maxNewTokens: 60 });
    said.length = 0;
    serving.worker.dispatchEvent(new ErrorEvent("error", { message: "boom" }));
    await assert.rejects(inWork, UnavailableError);
    await assert.rejects(ask(), UnavailableError);
    await assert.rejects(serving.load(), UnavailableError);
    assert.match(serving.outage!, /worker failed: restart the server/);
    assert.deepEqual(said, ["error      The GPU's worker failed: boom"]);
  } finally {
    serving.close();
  }
});
