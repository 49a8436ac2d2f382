import assert from "node:assert/strict";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { StandIn } from "./jobs.ts";
import { workshop } from "./served.ts";

const EVALUATIONS = "/v1/evaluations";

Deno.test("evaluations wait for other jobs, are cancelled, and fail with a reason", async () => {
  await inTemporaryDirectory(async (output) => {
    const worker = new StandIn();
    await using served = workshop(output, { worker });
    const asked = { model: "policy", file: "held-out" };
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push((await served.ask(EVALUATIONS, asked)).body.id);
    const statuses = async () => {
      const { data } = (await served.ask(EVALUATIONS)).body;
      return data.map(({ status }: { status: string }) => status).reverse();
    };
    assert.deepEqual(await statuses(), ["running", "queued", "queued"]);
    await served.ask(`${EVALUATIONS}/${ids[1]}/cancel`, {});
    await served.ask(`${EVALUATIONS}/${ids[0]}/cancel`, {});
    assert.deepEqual(await statuses(), ["cancelled", "cancelled", "running"]);
    worker.end.resolve();
    const job = served.queue.jobs.find(({ id }) => id === ids[2])!;
    await Array.fromAsync(served.queue.follow(job, -1, new AbortController().signal));
    assert.deepEqual((await served.ask(`${EVALUATIONS}/${ids[2]}`)).body.results, { eval_loss: 1 });
    assert.equal((await served.ask(`/v1/fine_tuning/jobs/${ids[2]}`)).status, 404);
  });
});

Deno.test("bad requests for an evaluation are refused", async () => {
  await using served = workshop("nowhere", { worker: new StandIn() });
  const cases: [object, number, RegExp, string | null][] = [
    [{ model: "gpt" }, 404, /found "gpt"/, "model"],
    [{ model: "../../etc" }, 404, /found/, "model"],
    [{ reference: "gpt" }, 404, /found "gpt"/, "reference"],
    [{ file: "fixtures/pairs/eval.jsonl" }, 400, /one of fixtures, held-out or an upload/, "file"],
    [{ smoldpo: { learning_rate: 1 } }, 400, /option of train/, null],
    [{ smoldpo: { cache_dir: "/tmp" } }, 400, /the server sets it/, null],
    [{ smoldpo: { max_length: 1e6 } }, 400, /at most 131072/, null],
    [{ colour: "red" }, 400, /colour/, null],
  ];
  for (const [wrong, status, message, param] of cases) {
    const reply = await served.ask(EVALUATIONS, { model: "policy", file: "held-out", ...wrong });
    assert.equal(reply.status, status, JSON.stringify([wrong, reply.body]));
    assert.match(reply.body.error.message, message);
    assert.equal(reply.body.error.param, param);
  }
  assert.equal((await served.ask(`${EVALUATIONS}/eval-1`)).status, 404);
  assert.equal((await served.ask(`${EVALUATIONS}/eval-1/cancel`, {})).status, 404);
});
