/** What clients see of failures: models that overflow, a device that is lost, defects of ours. */
import assert from "node:assert/strict";
import { LocalWorker } from "../../src/platform/serving/local_worker.ts";
import { received, toSend } from "../../src/platform/serving/calls.ts";
import { NonFiniteError, UnavailableError, UserError } from "../../src/errors.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { ModelHost } from "../../src/serve/serving.ts";
import { openTestGpu } from "../kernels/harness.ts";
import { brokenCheckpoint } from "../model/small_models.ts";
import { appWith, ask, eventsOf, messages, serving, tokenizer } from "./served.ts";

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

Deno.test("a GPU whose thread hangs is told of in time by every route that asks it", async () => {
  const never = () => new Promise<never>(() => {});
  const host = {
    ...unasked,
    models: serving.models,
    slots: 4,
    outage: null,
    generate: never,
    promptLogprobs: never,
    score: never,
    load: never,
  };
  const app = appWith({ host, timeout: 0.05 });
  const text = { prompt: "a" };
  const pairs = [{ prompt: "a", chosen: "b", rejected: "c" }];
  const requests: [path: string, body?: object][] = [
    ["/v1/completions", text],
    ["/v1/completions", { ...text, echo: true, logprobs: 1, stream: true }],
    ["/v1/chat/completions", { messages: messages("a") }],
    ["/v1/score", { pairs }],
    ["/ready"],
    ["/metrics"],
  ];
  for (const [path, body] of requests) {
    const reply = await ask(path, body, { app });
    const streams = body && "stream" in body;
    assert.equal(reply.status, streams ? 200 : 504, path);
    assert.match(JSON.stringify(reply.body), /within 0\.05 s, found it unfinished/, path);
  }
  assert.equal((await ask("/health", undefined, { app })).status, 200);
});

const nobodyAsks = () => Promise.reject(new Error("Expected no such call"));
/** Of a host, what a test does not ask. */
const unasked: Omit<ModelHost, "models" | "slots" | "outage" | "generate"> = {
  promptLogprobs: nobodyAsks,
  score: nobodyAsks,
  load: nobodyAsks,
  addModel: nobodyAsks,
  removeModel: nobodyAsks,
  close() {},
};

Deno.test("an error is the same to a client, whether it crossed threads or not", async () => {
  const cases: [Error, number, RegExp][] = [
    [new UserError("yours"), 400, /^yours$/],
    [new NonFiniteError("NaN"), 500, /^NaN$/],
    [new UnavailableError("later"), 503, /^later$/],
    [new RangeError("ours"), 500, /its log says why/],
    [new TypeError("ours"), 500, /its log says why/],
    [new Error("ours"), 500, /its log says why/],
  ];
  for (const [error, status, message] of cases) {
    const log: string[] = [];
    for (const thrown of [error, received(structuredClone(toSend(error)))]) {
      const generate = () => Promise.reject(thrown);
      const host = { ...unasked, models: serving.models, slots: 4, outage: null, generate };
      const app = appWith({ host, log: (line) => log.push(line) });
      const reply = await ask("/v1/completions", { prompt: "a" }, { app });
      assert.equal(reply.status, status, error.name);
      assert.match(reply.body.error.message, message);
    }
    const [here, fromThere] = log;
    assert.equal(here, fromThere);
    // A defect comes with its stack.
    assert.equal(/ours[^]*at .*failures_test/.test(here ?? ""), error.message === "ours", here);
  }
});
