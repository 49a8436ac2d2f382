/** A server that is killed while it trains, and started again. */
import assert from "node:assert/strict";
import { ask, serve, until } from "./server.ts";

const JOBS = "/v1/fine_tuning/jobs";

Deno.test("a server that is killed while it trains has its jobs when it is started again, and goes on with them", async () => {
  const output = `runs/.test-${crypto.randomUUID()}`;
  const flags = ["--output", output, "--max-model-len", "128"];
  try {
    const first = await serve(...flags);
    const create = async (suffix: string) => {
      const response = await ask(first.address, JOBS, {
        model: "policy",
        training_file: "fixtures",
        suffix,
        method: { type: "dpo", dpo: { hyperparameters: { batch_size: 2 } } },
        smoldpo: { max_steps: 12, save_steps: 2, max_length: 64, truncation: "prompt_first" },
      });
      return (await response.json()).id as string;
    };
    const [running, waiting] = [await create("running"), await create("waiting")];
    const checkpoints = async () =>
      (await (await ask(first.address, `${JOBS}/${running}/checkpoints`)).json()).data.length;
    await until(async () => await checkpoints() > 0, 120_000);
    await first[Symbol.asyncDispose](); // by SIGKILL

    await using second = await serve(...flags);
    const get = async (path: string) => await (await ask(second.address, path)).json();
    const listed = (await get(JOBS)).data;
    assert.deepEqual(listed.map(({ id }: { id: string }) => id), [waiting, running]);
    assert.equal(listed[1].status, "paused");
    await ask(second.address, `${JOBS}/${running}/resume`, {});
    for (const id of [waiting, running]) {
      const status = async () => (await get(`${JOBS}/${id}`)).status;
      await until(async () => !["queued", "running"].includes(await status()), 120_000);
      assert.equal(await status(), "succeeded");
    }
    const { data } = await get(`${JOBS}/${running}/events?limit=100`);
    const told: string[] = data.map(({ message }: { message: string }) => message).reverse();
    const at = told.findIndex((message) => /^The server ended while the job ran/.test(message));
    assert.ok(at > 0);
    assert.ok(told.slice(at).some((message) => /^resuming after step \d+ of 12/.test(message)));
    const { fine_tuned_model: model } = await get(`${JOBS}/${running}`);
    const question = { model, prompt: "The", max_tokens: 1 };
    assert.equal((await ask(second.address, "/v1/completions", question)).status, 200);
  } finally {
    await Deno.remove(output, { recursive: true });
  }
});
