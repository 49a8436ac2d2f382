import assert from "node:assert/strict";
import { PAGE_PATHS } from "../../routes/page.ts";
import { nextEvents } from "../../src/gpu/turns.ts";
import { appWith, ask, fakes, messages } from "./served.ts";

const chat = { messages: messages("Hi"), max_tokens: 2 };
const pair = { prompt: "a", chosen: "b", rejected: "c" };
const single = { prompt: "a", completion: "b", label: false };

/** Asserts OpenAI's error shape. */
async function refuses(
  [path, body, options]: Parameters<typeof ask>,
  status: number,
  message: RegExp,
) {
  const reply = await ask(path, body, options);
  assert.equal(reply.status, status, JSON.stringify(reply.body).slice(0, 300));
  const { error } = reply.body;
  assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
  assert.match(error.message, message);
  return reply;
}

Deno.test("models are listed and found, a name with a slash too", async () => {
  const { body } = await ask("/v1/models");
  assert.deepEqual(body.data.map(({ id }: { id: string }) => id), ["policy", "reference"]);
  assert.equal((await ask("/v1/models/policy")).body.max_model_len, 128);
  await refuses(["/v1/models/org/name"], 404, /policy, reference, found "org\/name"/);
  await refuses(["/v1/chat/completions", { ...chat, model: "gpt" }], 404, /found "gpt"/);
});

Deno.test("bad requests get their status, in OpenAI's shape", async () => {
  const completions = "/v1/completions";
  const cases: [Parameters<typeof ask>, number, RegExp][] = [
    [[completions, "{"], 400, /JSON/],
    [[completions, { prompt: 7 }], 400, /prompt/],
    [[completions, { prompt: "a", max_tokens: -1 }], 400, /max_tokens.*>=0/],
    [[completions, { prompt: "a", max_tokens: 1e9 }], 400, /max_tokens/],
    [[completions, { prompt: "a", n: 1e6 }], 400, /^n: /],
    [[completions, { prompt: "a", n: 100, max_tokens: 1 }], 400, /at most 16 sequences, found 100/],
    [[completions, { prompt: "a", temperature: "hot" }], 400, /temperature/],
    [[completions, { prompt: "a", max_tokns: 3 }], 400, /max_tokns/],
    [[completions, { prompt: "a", suffix: "b" }], 400, /suffix/],
    [[completions, { prompt: "" }], 400, /at least one token/],
    [[completions, { prompt: [[5], [999999]] }], 400, /from 0 to 511, .* found 999999/],
    [
      [completions, { prompt: Array(200).fill(5) }],
      400,
      /maximum context length is 128 tokens.* requested 201 .*200 in the prompt/,
    ],
    [[completions, { prompt: "a".repeat(70_000) }], 400, /at most 65536 characters/],
    [[completions, { prompt: "a".repeat(2 ** 20) }], 413, /at most 1048576 bytes/],
    [[completions, { prompt: "a", logit_bias: { a: 1 } }], 400, /logit_bias/],
    [[completions, { prompt: "a", logit_bias: { 512: 1 } }], 400, /logit_bias .* found 512/],
    [
      [completions, { prompt: "a", logit_bias: { 9999999999: 1 }, stream: true }],
      400,
      /logit_bias .* found 9999999999/,
    ],
    [
      ["/v1/chat/completions", { ...chat, logit_bias: { 512: 1 }, stream: true }],
      400,
      /logit_bias .* found 512/,
    ],
    [["/v1/chat/completions", { messages: [] }], 400, /messages/],
    [["/v1/chat/completions", { ...chat, tools: [{ type: "function" }] }], 400, /tools/],
    [["/v1/chat/completions", { ...chat, top_logprobs: 2 }], 400, /logprobs to be true/],
    [["/v1/chat/completions", { messages: [{ role: "critic", content: "" }] }], 400, /role/],
    [["/v1/score", { pairs: [{ prompt: "a", chosen: "b" }] }], 400, /pairs\.0|rejected/],
    [
      ["/v1/score", { pairs: [{ prompt: "a".repeat(999), chosen: "b", rejected: "c" }] }],
      400,
      /1 are longer/,
    ],
    [
      ["/v1/score", {
        pairs: [pair, { ...pair, rejected: "c".repeat(999) }, { ...pair, chosen: "" }],
      }],
      400,
      /^Expected pairs that fit, found 1 of 3 pairs, 1 dropped \(too long\), 1 dropped \(empty/,
    ],
    [["/v1/score", {}], 400, /^expected one of pairs and answers, found neither$/],
    [
      ["/v1/score", { pairs: [pair], answers: [single] }],
      400,
      /^expected one of pairs and answers, found both$/,
    ],
    [
      ["/v1/score", { answers: [{ ...single, label: undefined }] }],
      400,
      /^answers\.0\.label: expected true of a good answer, or false$/,
    ],
    [["/v1/score", { answers: [pair] }], 400, /answers\.0/],
    [["/v1/score", { pairs: [single] }], 400, /pairs\.0.*completion/],
    [["/v1/score", { answers: [{ label: true }] }], 400, /answers\.0: expected "text"/],
    [
      ["/v1/score", { answers: [single, { ...single, completion: "c".repeat(999) }] }],
      400,
      /^Expected answers that fit, found 1 of 2 answers, 1 dropped \(too long\)$/,
    ],
    [
      ["/v1/score", { answers: [{ input_ids: [1, 2], prompt_length: 3, label: true }] }],
      400,
      /answers\.0: expected "prompt_length" from 0 to 2, found 3/,
    ],
    [["/v1/tokenize", {}], 400, /either prompt or messages/],
    [["/v1/nothing", {}], 404, /openapi\.json, found \/v1\/nothing/],
    [["/v1/completions", undefined, { method: "POST" }], 415, /Content-Type/],
    [
      [completions, undefined, { method: "POST", headers: { "content-length": "0" } }],
      400,
      /prompt/,
    ],
    [[completions, "prompt=a", { headers: { "content-type": "text/plain" } }], 415, /text\/plain/],
  ];
  for (const [request, status, message] of cases) await refuses(request, status, message);
  assert.equal((await ask("/v1/chat/completions", chat)).status, 200, "still alive");
});

Deno.test("with a key no route but /health and the page's files answer without it", async () => {
  const app = appWith({ apiKey: "secret" });
  const routes = app.routes.filter(({ method }) => method !== "ALL");
  assert.ok(routes.length > 8 + PAGE_PATHS.length);
  const open = ["/health", ...PAGE_PATHS];
  for (const { method, path } of routes) {
    const real = path.replace(":model{.+}", "policy").replace(/:id{.*}/, "1");
    const uploads = method === "POST" && path === "/v1/files";
    const body = method === "GET" ? undefined : uploads ? new FormData() : {};
    for (const authorization of ["", "Bearer secre", "secret"]) {
      const headers: Record<string, string> = authorization ? { authorization } : {};
      const { status } = await ask(real, body, { app, method, headers });
      assert.equal(status, open.includes(path) ? 200 : 401, `${method} ${path}`);
    }
  }
  const headers = { authorization: "Bearer secret" };
  assert.equal((await ask("/v1/models", undefined, { app, headers })).status, 200);
  await refuses(["/v1/models", undefined, { app }], 401, /Authorization: Bearer/);
});

Deno.test("a foreign host, a foreign page and a lured form are refused", async () => {
  await refuses(["/v1/models", undefined, { headers: { host: "evil.example" } }], 403, /Host/);
  const origin = { origin: "https://evil.example" };
  await refuses(["/v1/chat/completions", chat, { headers: origin }], 403, /own page/);
  await refuses(["/v1/models", undefined, { headers: { origin: "null" } }], 403, /own page/);
  const own = { origin: "http://localhost", host: "localhost" };
  assert.equal((await ask("/v1/models", undefined, { headers: own })).status, 200);
  const app = appWith({ corsOrigin: "https://evil.example" });
  const allowed = await ask("/v1/models", undefined, { app, headers: origin });
  assert.equal(allowed.status, 200);
  assert.equal(allowed.headers.get("access-control-allow-origin"), "https://evil.example");
  const open = appWith({ hosts: null });
  const named = { headers: { host: "gpu.lan:8080" }, app: open };
  assert.equal((await ask("/v1/models", undefined, named)).status, 200);
});

Deno.test("a full queue says when to come back, and empties", async () => {
  const app = appWith({ maxQueue: 0 }); // eight slots in all
  const long = { prompt: "The", max_tokens: 100, ignore_eos: true };
  const busy = Array.from({ length: 8 }, () => ask("/v1/completions", long, { app }));
  const { headers } = await refuses(["/v1/completions", long, { app }], 429, /come back/);
  assert.equal(headers.get("retry-after"), "1");
  assert.ok((await Promise.all(busy)).every(({ status }) => status === 200));
  assert.equal((await ask("/v1/completions", { prompt: "a" }, { app })).status, 200);
});

Deno.test("an answer that does not end is given up", async () => {
  const app = appWith({ timeout: 0.05 });
  const long = { prompt: "The", max_tokens: 100, ignore_eos: true };
  await refuses(["/v1/completions", long, { app }], 504, /answer within 0\.05 s/);
  const { body } = await ask("/v1/completions", { ...long, stream: true }, { app });
  assert.match(body, /answer within 0\.05 s, found it unfinished/);
  assert.doesNotMatch(body, /\[DONE\]/);
  while ((await fakes.load()).running > 0) await nextEvents();
});

Deno.test("a stream that fails on the way says so in an event, and does not end as if whole", async () => {
  const request = { prompt: [999999], stream: true, max_tokens: 2 };
  const { body } = await ask("/v1/completions", request);
  const [event] = body.split("\n\n").filter(Boolean);
  assert.match(JSON.parse(event.replace(/^data: /, "")).error.message, /found 999999/);
  assert.doesNotMatch(body, /\[DONE\]/);
});

Deno.test("health, readiness and metrics", async () => {
  assert.deepEqual((await ask("/health")).body, { status: "ok" });
  const down = appWith({ isReady: () => false });
  await refuses(["/health", undefined, { app: down }], 503, /Shutting down/);
  assert.equal((await ask("/ready")).body.status, "ok");
  const app = appWith();
  await ask("/v1/completions", { prompt: "The", max_tokens: 4, ignore_eos: true }, { app });
  const { body } = await ask("/metrics", undefined, { app });
  assert.match(body, /^smoldpo_completion_tokens_total 4$/m);
  assert.match(body, /^smoldpo_requests_total\{route="\/v1\/completions",status="200"\} 1$/m);
  assert.match(body, /^smoldpo_first_token_seconds_count 1$/m);
  assert.match(body, /^smoldpo_models 2$/m);
  assert.match(body, /^smoldpo_jobs\{status="running"\} 0$/m);
});

Deno.test("openapi.json describes every route", async () => {
  const { body } = await ask("/openapi.json");
  assert.equal(body.openapi, "3.1.0");
  const paths = ["/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/score"];
  for (
    const path of [
      ...paths,
      "/v1/tokenize",
      "/v1/detokenize",
      "/v1/preferences",
      "/v1/files",
      "/v1/fine_tuning/jobs",
      "/v1/runs",
      "/v1/evaluations",
      "/health",
      "/metrics",
    ]
  ) {
    assert.ok(path in body.paths, path);
  }
  const { ChatRequest, ScoreRequest } = body.components.schemas;
  assert.equal(ChatRequest.properties.top_logprobs.anyOf[0].maximum, 20);
  const { items, description } = ScoreRequest.properties.answers.anyOf[0];
  assert.deepEqual(items.required, ["label"]);
  assert.match(description, /single answers with labels/);
  assert.match(body.paths["/v1/score"].post.summary, /single answers/);
});
