/** What unmodified clients and editors send, and what is said where it cannot be done. */
import assert from "node:assert/strict";
import { appWith, ask, eventsOf, messages, tokenizer, workshop } from "./served.ts";
import { JOBS, tiny } from "./jobs.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";

const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";
const short = { max_tokens: 2, seed: 1 };

Deno.test("histories and fields of other clients and servers are accepted", async () => {
  const answer = (rest: object) => [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Ho", ...rest },
    { role: "user", content: "Hi again" },
  ];
  const plain = (await ask(CHAT, { messages: answer({}), ...short })).body.choices[0].message;
  const histories = [
    { parsed: null, refusal: null }, // openai for npm, its stream helper
    { annotations: null, audio: null, function_call: null, tool_calls: null }, // Python's model_dump()
    { annotations: [], tool_calls: [], reasoning_content: "", id: "m1", opts: { visible: true } },
    { content: [{ type: "text", text: "Ho", cache_control: { type: "ephemeral" } }] },
  ];
  for (const rest of histories) {
    const { status, body } = await ask(CHAT, { messages: answer(rest), ...short });
    assert.equal(status, 200, JSON.stringify([rest, body]));
    assert.deepEqual(body.choices[0].message, plain);
  }
  const empty = await ask(CHAT, { messages: answer({ content: null }), ...short });
  assert.equal(empty.status, 200, JSON.stringify(empty.body));

  const fields = [
    { stream_options: { include_usage: true, continuous_usage_stats: true }, stream: true },
    { reasoning_effort: null, verbosity: null, web_search_options: null, audio: null },
    { reasoning_effort: "low", parallel_tool_calls: false, prompt_cache_retention: "24h" },
    { tools: [], tool_choice: "auto", functions: [], function_call: "auto" },
    { tool_choice: "none", response_format: { type: "text" }, modalities: ["text"] },
    { min_tokens: 0, length_penalty: 1, use_beam_search: false, cache_prompt: true },
    { stop: Array.from({ length: 128 }, (_, i) => `stop ${i}`) },
    { top_p: 0 },
  ];
  for (const rest of fields) {
    const { status, body } = await ask(CHAT, { messages: messages("Hi"), ...short, ...rest });
    assert.equal(status, 200, JSON.stringify([rest, body]));
  }
  const both = { prompt: "a", n: 2, best_of: 2, echo: null, made_up: null, ...short };
  assert.equal((await ask(TEXT, both)).status, 200);
});

Deno.test("what would change an answer and cannot be done is refused by its name", async () => {
  const refused: [string, object, RegExp, string][] = [
    [CHAT, { made_up: 1 }, /made_up/, ""],
    [
      CHAT,
      { tools: [{ type: "function" }] },
      /^tools: calls in answers are not supported/,
      "tools",
    ],
    [CHAT, { tool_choice: "required" }, /^tool_choice: calls in answers are not/, "tool_choice"],
    [
      CHAT,
      { response_format: { type: "json_object" } },
      /^response_format\.type: .* not supported by this server: expected "text", found "json_object"$/,
      "response_format.type",
    ],
    [
      CHAT,
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] },
      /^messages\.0\.content\.0\.type: expected parts of text alone, found "image_url"$/,
      "messages.0.content.0.type",
    ],
    [
      CHAT,
      { messages: [{ role: "user", content: null }] },
      /content: expected a text/,
      "messages.0.content",
    ],
    [
      CHAT,
      { messages: [...messages("a"), { role: "assistant", tool_calls: [{ id: "1" }] }] },
      /^messages\.1\.tool_calls\.0\.function: /,
      "messages.1.tool_calls.0.function",
    ],
    // The shipped model's template knows turns alone.
    [
      CHAT,
      {
        messages: [...messages("a"), {
          role: "assistant",
          tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }],
        }],
      },
      /a chat template that knows tools and their calls, found one that writes nothing of them/,
      "",
    ],
    [
      CHAT,
      { tools: [{ type: "function", function: { name: "f" } }], tool_choice: "none" },
      /a chat template that knows tools/,
      "",
    ],
    [CHAT, { stop: Array(129).fill("x") }, /^stop: expected at most 128 stop strings$/, "stop"],
    [CHAT, { stop: [""] }, /^stop\.0: /, "stop.0"],
    [CHAT, { stop_token_ids: [512] }, /stop_token_ids .* from 0 to 511, .*found 512/, ""],
    [CHAT, { logit_bias: { 512: 1 } }, /logit_bias .* found 512/, ""],
    [CHAT, { min_tokens: 3 }, /^min_tokens: /, "min_tokens"],
    [TEXT, { best_of: 2 }, /^best_of: expected at most n/, "best_of"],
    [TEXT, { prompt: [1, "a"] }, /^prompt\.\d: /, ""],
    [
      CHAT,
      { add_generation_prompt: true, continue_final_message: true },
      /found both/,
      "continue_final_message",
    ],
  ];
  for (const [path, rest, message, param] of refused) {
    const request = { ...path === CHAT ? { messages: messages("Hi") } : { prompt: "a" }, ...rest };
    const { status, body } = await ask(path, request);
    assert.equal(status, 400, JSON.stringify(rest));
    assert.match(body.error.message, message);
    if (param !== "") assert.equal(body.error.param, param);
  }
});

Deno.test("an overlong prompt is refused in the words that clients look for, with the field that asked", async () => {
  const long = messages("a b c ".repeat(100));
  const fields: [object, string][] = [
    [{}, "messages"],
    [{ max_tokens: 5 }, "max_tokens"],
    [{ max_completion_tokens: 5 }, "max_completion_tokens"],
  ];
  for (const [rest, param] of fields) {
    const { status, body } = await ask(CHAT, { messages: long, ...rest });
    assert.equal(status, 400);
    assert.match(
      body.error.message,
      /^This model's maximum context length is 128 tokens\. However/,
    );
    assert.deepEqual([body.error.code, body.error.param], ["context_length_exceeded", param]);
  }
});

Deno.test("the last message is continued where that is asked for", async () => {
  const turns = [...messages("Hi"), { role: "assistant", content: "Sure! You can " }];
  const tokenize = (rest: object) => ask("/v1/tokenize", { messages: turns, ...rest });
  const whole: number[] = (await tokenize({ add_generation_prompt: false })).body.tokens;
  const { body } = await ask(CHAT, {
    messages: turns,
    continue_final_message: true,
    ...short,
    logprobs: true,
  });
  const open = tokenizer.encode(
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nSure! You can ",
  );
  assert.equal(body.usage.prompt_tokens, open.length);
  assert.ok(open.length < whole.length);
  const nothing = { messages: [...messages("Hi"), { role: "assistant", content: " " }] };
  const refused = await ask(CHAT, { ...nothing, continue_final_message: true });
  assert.match(refused.body.error.message, /some text in the last message/);
});

/** Makes the next token certain. */
const force = (text: string) => Object.fromEntries(tokenizer.encode(text).map((id) => [id, 100]));

Deno.test("special tokens are no text, unless that is asked for", async () => {
  const end = "<|im_end|>";
  const forced = {
    prompt: "a",
    max_tokens: 2,
    ignore_eos: true,
    logit_bias: force(end),
    logprobs: 1,
  };
  const textOf = async (rest: object) => (await ask(TEXT, { ...forced, ...rest })).body.choices[0];
  const skipped = await textOf({});
  assert.equal(skipped.text, "");
  assert.deepEqual(skipped.logprobs.text_offset, [0, 0]);
  assert.equal((await textOf({ skip_special_tokens: false })).text, end + end);
  const { body } = await ask(CHAT, {
    ...forced,
    prompt: undefined,
    messages: messages("a"),
    logprobs: true,
  });
  assert.deepEqual([body.choices[0].message.content, body.choices[0].logprobs.content], ["", []]);
});

Deno.test("log-probabilities and offsets end where the text ends, whole or streamed", async () => {
  const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id);
  const odd = ids.filter((id) =>
    tokenizer.specialIds.has(id) || tokenizer.decode([id]).includes("\ufffd")
  );
  const request = {
    ...{ prompt: "The", max_tokens: 24, seed: 3, ignore_eos: true, logprobs: 1 },
    logit_bias: Object.fromEntries(odd.map((id) => [id, -100])),
  };
  const { text: whole } = (await ask(TEXT, request)).body.choices[0];
  for (let at = 2; at + 3 < whole.length; at += 5) {
    const stop = whole.slice(at, at + 3);
    const cut = whole.indexOf(stop);
    const { text, logprobs } = (await ask(TEXT, { ...request, stop })).body.choices[0];
    assert.equal(text, whole.slice(0, cut));
    const { tokens, text_offset } = logprobs;
    assert.ok(text_offset.every((offset: number) => offset < cut), `${text_offset} of ${cut}`);
    assert.equal(tokens.length, text_offset.length);
    for (const [i, offset] of text_offset.entries()) {
      assert.equal(text.slice(offset, offset + tokens[i].length), tokens[i].slice(0, cut - offset));
    }
    const { body } = await ask(TEXT, { ...request, stop, stream: true });
    const pieces = eventsOf(body).events.map(({ choices }) => choices[0]);
    assert.deepEqual(pieces.flatMap(({ logprobs }) => logprobs?.tokens ?? []), tokens);
    assert.deepEqual(pieces.flatMap(({ logprobs }) => logprobs?.text_offset ?? []), text_offset);
  }
});

Deno.test("characters that end a line for some readers are escaped in streams", async () => {
  const prompt = "a\u0085b\u2028c\u2029d";
  const { body } = await ask(TEXT, { prompt, echo: true, max_tokens: 0, stream: true });
  assert.doesNotMatch(body, /[\u0085\u2028\u2029]/);
  const text = eventsOf(body).events.map(({ choices }) => choices[0].text).join("");
  assert.equal(text, prompt);
});

Deno.test("a wrong method, an encoded body and a path beside a route are named", async () => {
  const get = await ask(CHAT);
  assert.deepEqual([get.status, get.headers.get("allow")], [405, "POST"]);
  const models = await ask("/v1/models/org/name", {});
  assert.deepEqual([models.status, models.headers.get("allow")], [405, "GET, DELETE"]);
  const headers = { "content-encoding": "gzip" };
  const encoded = await ask(CHAT, { messages: messages("a") }, { headers });
  assert.equal(encoded.status, 415);
  assert.match(encoded.body.error.message, /without Content-Encoding, found gzip/);
  const meant: Record<string, string> = {
    "/v1/models/": "/v1/models",
    "/v1//models": "/v1/models",
    "/chat/completions": CHAT,
    "/chat/completions/": CHAT,
  };
  for (const [path, route] of Object.entries(meant)) {
    const { status, body } = await ask(path);
    assert.equal(status, 404);
    assert.ok(body.error.message.endsWith(`: did you mean ${route}?`), body.error.message);
  }
  assert.equal((await ask("/health", undefined, { headers: { host: "LOCALHOST" } })).status, 200);
});

Deno.test("lists honour their filters, and give no more than they may", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output);
    const idsOf = async (path: string) => {
      const { status, body } = await served.ask(path);
      assert.equal(status, 200, JSON.stringify(body));
      return body.data.map(({ id }: { id: string }) => id);
    };
    assert.deepEqual(await idsOf("/v1/files?limit=10000"), ["fixtures", "held-out"]);
    assert.deepEqual(await idsOf("/v1/files?purpose=fine-tune&limit=1"), ["fixtures"]);
    assert.deepEqual(await idsOf("/v1/files?purpose=batch"), []);
    assert.equal((await served.ask("/v1/files?order=up")).status, 400);
    const jobs = [];
    for (const team of ["red", "blue"]) {
      jobs.push((await served.ask(JOBS, tiny({ suffix: team, metadata: { team } }))).body.id);
    }
    assert.deepEqual(await idsOf(`${JOBS}?metadata[team]=red`), [jobs[0]]);
    assert.deepEqual(await idsOf(`${JOBS}?metadata[team]=green`), []);
    assert.deepEqual(await idsOf(JOBS), jobs.toReversed());
    await served.queue.close();
  });
});

Deno.test("each refused request leaves a line in the log", async () => {
  const log: string[] = [];
  const app = appWith({ log: (line) => log.push(line) });
  await ask(TEXT, { prompt: "a", made_up: 1 }, { app });
  await ask("/v1/nothing", undefined, { app });
  await ask("/health", undefined, { app });
  assert.equal(log.length, 2, log.join("\n"));
  assert.match(log[0], /^refused +400 POST \/v1\/completions: .*made_up/);
  assert.match(log[1], /^refused +404 GET \/v1\/nothing: /);
});
