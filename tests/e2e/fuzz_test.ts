/** Bodies of every kind: none is answered with a defect of ours, and the server lives on. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { appWith, ask } from "../routes/served.ts";
import { shipped } from "./shipped_model.ts";

const app = appWith({ host: shipped.host });
const PATHS = ["completions", "chat/completions", "score", "tokenize", "detokenize", "preferences"];

const text = fc.oneof(
  fc.string({ maxLength: 40, unit: "binary" }),
  fc.constantFrom("", "\0", "\ud800", "__proto__", "<|im_end|>", "a\u0301".repeat(20)),
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(0, -1, 1e308, -1e308, 2 ** 53, 1e-320, 4),
);
const message = fc.record({ role: fc.constantFrom("user", "system", "tool", "x"), content: text });
const anything = fc.oneof(
  text,
  number,
  fc.boolean(),
  fc.constant(null),
  fc.array(number, { maxLength: 5 }),
  fc.array(text, { maxLength: 3 }),
  fc.array(message, { maxLength: 3 }),
  fc.dictionary(text, number, { maxKeys: 3 }),
);

/** Requests that are nearly right: known fields with values of any kind, and unknown ones. */
const nearly = fc.dictionary(
  fc.oneof(
    fc.constantFrom(
      ...["model", "prompt", "messages", "pairs", "tokens", "temperature", "top_p", "top_k"],
      ...["min_p", "n", "seed", "stop", "echo", "logprobs", "top_logprobs", "logit_bias"],
      ...["stream", "stream_options", "frequency_penalty", "suffix", "tools", "reference"],
    ),
    text,
  ),
  anything,
  { maxKeys: 6 },
).map((body) => ({ ...body, max_tokens: 1 }));

/** Requests that are right, for one of the paths. */
const right = fc.oneof(
  fc.record({
    prompt: fc.oneof(
      fc.string({ minLength: 1, maxLength: 40 }),
      fc.array(fc.integer({ min: 0, max: 511 }), { minLength: 1, maxLength: 40 }),
    ),
    max_tokens: fc.constantFrom(0, 1),
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    top_p: fc.double({ min: 0.01, max: 1, noNaN: true }),
    top_k: fc.integer({ min: -1, max: 600 }),
    logprobs: fc.constantFrom(null, 0, 5),
    echo: fc.boolean(),
    stop: fc.array(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 3 }),
    stream: fc.boolean(),
  }),
  fc.record({
    messages: fc.array(message, { minLength: 1, maxLength: 3 }),
    max_tokens: fc.constant(1),
  }),
  fc.record({ prompt: text }),
  fc.record({ tokens: fc.array(fc.integer({ min: 0, max: 600 }), { maxLength: 20 }) }),
);

const body = fc.oneof(
  right.map((value) => JSON.stringify(value)),
  { weight: 10, arbitrary: nearly.map((value) => JSON.stringify(value)) },
  { weight: 4, arbitrary: fc.json({ maxDepth: 5 }) },
  { weight: 2, arbitrary: text },
  fc.integer({ min: 1, max: 100_000 }).map((depth) => "[".repeat(depth)),
  fc.constantFrom('{"prompt":"a","max_tokens":1,"__proto__":{"n":9}}', "[]", "null", "{}"),
);

/** No body takes as long, on however slow a machine, unless it finds a way to keep the server busy. */
const HANGS_MS = 30_000;

Deno.test("bodies of every kind get an answer that is not 5xx, in time", async () => {
  const statuses = new Map<number, number>();
  let most = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...PATHS), body, async (path, json) => {
      const began = performance.now();
      const { status, body } = await ask(`/v1/${path}`, json, { app });
      const ms = performance.now() - began;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      assert.ok(status < 500, `${status} for ${json.slice(0, 200)}: ${JSON.stringify(body)}`);
      if (status >= 400) assert.equal(typeof body.error.message, "string");
      most = Math.max(most, ms);
      assert.ok(ms < HANGS_MS, `${ms} ms for ${json.slice(0, 200)}`);
    }),
    { numRuns: 20_000, seed: 20, endOnFailure: true },
  );
  console.log(
    `statuses ${JSON.stringify([...statuses])}, the slowest after ${Math.round(most)} ms`,
  );
  assert.ok(
    (statuses.get(400) ?? 0) > 10_000 && (statuses.get(200) ?? 0) > 100,
    `${[...statuses]}`,
  );
  assert.equal((await ask("/v1/completions", { prompt: "a", max_tokens: 1 }, { app })).status, 200);
});
