/** What clients see of failures: a thread that hangs, defects of ours. */
import assert from "node:assert/strict";
import { received, toSend } from "../../src/platform/serving/calls.ts";
import { NonFiniteError, UnavailableError, UserError } from "../../src/errors.ts";
import type { ModelHost } from "../../src/serve/serving.ts";
import { appWith, ask, fakes, messages } from "./served.ts";

Deno.test("a GPU whose thread hangs is told of in time by every route that asks it", async () => {
  const never = () => new Promise<never>(() => {});
  const host = {
    ...unasked,
    models: fakes.models,
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
      const host = { ...unasked, models: fakes.models, slots: 4, outage: null, generate };
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
