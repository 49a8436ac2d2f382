/** What clients see of models that overflow and of a device that is lost. */
import assert from "node:assert/strict";
import { LocalWorker } from "../../src/platform/serving/local_worker.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { openTestGpu } from "../kernels/harness.ts";
import { brokenCheckpoint } from "../model/small_models.ts";
import { appWith, ask, eventsOf, tokenizer } from "../routes/served.ts";

/** A token on which the model breaks. */
const BROKEN = 300;
const checkpoint = brokenCheckpoint(BROKEN, { vocab_size: tokenizer.vocabSize });
const open = () => Promise.resolve({ ...checkpoint, [Symbol.dispose]: () => {} });

/** A server of that model, whose device is replaced once `openDevice` resolves. */
async function hostOf(gpu: Gpu, openDevice: () => Promise<Gpu>) {
  const options = { precision: "f32", slots: 2, positions: 64, cacheRows: 128 } as const;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const onOutage = (outage: string | null) => outage === null && resolve();
  const host = new LocalWorker(gpu, options, { openDevice, onOutage });
  for (const name of ["policy", "reference"]) await host.add(name, open);
  return { host, over };
}

Deno.test("a model that overflows answers with an error that says so, and others as ever", async () => {
  using gpu = await openTestGpu();
  const { host } = await hostOf(gpu, () => Promise.reject(new Error("never")));
  const log: string[] = [];
  const app = appWith({ host, log: (line) => log.push(line) });
  const completion = (prompt: number[], more = {}) =>
    ask("/v1/completions", { prompt, max_tokens: 4, ignore_eos: true, seed: 1, ...more }, { app });
  const [bad, good] = await Promise.all([completion([5, BROKEN]), completion([5, 6])]);
  assert.equal(good.status, 200);
  assert.equal(bad.status, 500);
  const { message, type, code } = bad.body.error;
  assert.match(message, /^Expected finite scores for token 1 of the answer, .* another model$/);
  assert.deepEqual([type, code], ["server_error", "not_finite"]);
  assert.deepEqual(log.splice(0), [`error      ${message}`]);

  const stream = await completion([5, BROKEN], { stream: true });
  const { events, ended } = eventsOf(stream.body);
  assert.equal(ended, false);
  assert.match(stream.body, /"code":"not_finite"/);
  assert.ok(events.every(({ choices }) => !choices?.[0].text), "no text from such scores");
  // What was drawn before is there, then the error.
  const late = await completion([5], { stream: true, logit_bias: { [BROKEN]: 100 } });
  assert.match(late.body, /"choices".*\n\n.*finite scores for token 2 of the answer/s);
  const echo = await completion([5, BROKEN, 6], { echo: true, logprobs: 1, max_tokens: 0 });
  assert.equal(echo.status, 500);
  assert.match(echo.body.error.message, /finite log-probabilities at token \d of the prompt/);

  const pair = { prompt_ids: [5], chosen_ids: [6, BROKEN, 7], rejected_ids: [8] };
  for (const reference of [undefined, "reference"]) {
    const score = await ask("/v1/score", { pairs: [pair], reference }, { app });
    assert.equal(score.status, 500);
    assert.equal(score.body.error.code, "not_finite");
    assert.match(score.body.error.message, /row 0 is NaN/);
  }
  assert.equal((await completion([5, 6])).body.choices[0].text, good.body.choices[0].text);
  host.close();
});

Deno.test("a lost device shows, what was in work is answered, and answers come again by themselves", async () => {
  const gpu = await openTestGpu();
  const replacement = Promise.withResolvers<Gpu>();
  const { host, over } = await hostOf(gpu, () => replacement.promise);
  const app = appWith({ host });
  const get = (path: string) => ask(path, undefined, { app });
  const completion = (more = {}) =>
    ask("/v1/completions", { prompt: [5, 6], max_tokens: 40, ignore_eos: true, ...more }, { app });
  const before = await completion({ temperature: 0 });
  assert.equal((await get("/ready")).status, 200);

  const inWork = [completion(), completion({ stream: true }), completion({ n: 4 })];
  gpu.device.destroy();
  const [plain, stream, several] = await Promise.all(inWork);
  for (const reply of [plain, several, await completion()]) {
    assert.equal(reply.status, 503, JSON.stringify(reply.body));
    assert.match(reply.body.error.message, /^The GPU was lost .* ask again shortly$/);
    assert.equal(reply.body.error.code, "unavailable");
    assert.equal(reply.headers.get("retry-after"), "5");
  }
  assert.match(stream.body, /"error":.*The GPU was lost/);
  assert.equal(eventsOf(stream.body).ended, false);
  for (const path of ["/health", "/ready"]) {
    const { status, body } = await get(path);
    assert.equal(status, 503);
    assert.match(body.error.message, /^The GPU was lost \(/);
  }

  replacement.resolve(await openTestGpu());
  await over;
  assert.deepEqual((await get("/health")).body, { status: "ok" });
  const { load } = (await get("/ready")).body;
  assert.deepEqual([load.running, load.waiting, load.freeCacheRows], [0, 0, load.cacheRows]);
  assert.deepEqual((await completion({ temperature: 0 })).body.choices, before.body.choices);
  host.close();
});
