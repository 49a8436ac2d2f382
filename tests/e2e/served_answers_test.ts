/** What a server answers with the shipped model. */
import assert from "node:assert/strict";
import { openStoredModel } from "../../src/platform/models.ts";
import { loadModel } from "../../src/model/load.ts";
import { generate } from "../../src/generate/generate.ts";
import type { AnswerScore } from "../../src/dpo/evaluate.ts";
import { GREEDY } from "../../src/kernels/sample.ts";
import { encodeText } from "../../src/text/prompt.ts";
import { assertClose, gpu } from "../kernels/harness.ts";
import { appWith, ask as askApp, eventsOf, messages, tokenizer } from "../routes/served.ts";
import { shipped } from "./shipped_model.ts";

const QUESTION = "What should I feed a quazzit?";
const greedy = { temperature: 0, max_tokens: 24 };
const app = appWith({ host: shipped.host });
const ask = (path: string, body: object) => askApp(path, body, { app });

Deno.test("a chat is answered with the model's greedy text, whole or streamed", async () => {
  const request = { messages: messages(QUESTION), ...greedy };
  const { status, body } = await ask("/v1/chat/completions", request);
  assert.equal(status, 200);
  assert.equal(body.object, "chat.completion");
  assert.equal(body.choices[0].finish_reason, "stop");
  const { role, content } = body.choices[0].message;
  assert.equal(role, "assistant");
  assert.match(content, /honey/);
  assert.equal(
    body.usage.total_tokens,
    body.usage.prompt_tokens + body.usage.completion_tokens,
  );

  const options = { stream: true, stream_options: { include_usage: true } };
  const streamed = await ask("/v1/chat/completions", { ...request, ...options });
  assert.match(streamed.headers.get("content-type")!, /^text\/event-stream/);
  const { events, ended } = eventsOf(streamed.body);
  assert.ok(ended);
  assert.equal(events[0].choices[0].delta.role, "assistant");
  const text = events.flatMap(({ choices }) => choices)
    .map(({ delta }) => delta.content ?? "").join("");
  assert.equal(text, content);
  assert.equal(events.at(-2).choices[0].finish_reason, "stop");
  assert.deepEqual(events.at(-1).choices, []);
  assert.deepEqual(events.at(-1).usage, body.usage);
  assert.ok(events.slice(0, -1).every(({ usage }) => usage === null));
});

Deno.test("answers are the same alone, beside others, and in one request of several prompts", async () => {
  const prompts = ["The frindle", "What is", "Gil keeps a", "Good question! The", "x", "In Jarrel"];
  const alone: string[] = [];
  for (const prompt of prompts) {
    alone.push((await ask("/v1/completions", { prompt, ...greedy })).body.choices[0].text);
  }
  const beside = await Promise.all(
    prompts.map((prompt) => ask("/v1/completions", { prompt, ...greedy })),
  );
  assert.deepEqual(beside.map(({ body }) => body.choices[0].text), alone);
  const together = await ask("/v1/completions", { prompt: prompts, ...greedy });
  assert.deepEqual(together.body.choices.map(({ text }: { text: string }) => text), alone);
  const ids = prompts.map((prompt) => encodeText(tokenizer, prompt));
  const asIds = await ask("/v1/completions", { prompt: ids, ...greedy });
  assert.deepEqual(asIds.body.choices.map(({ text }: { text: string }) => text), alone);
});

Deno.test("echo with logprobs scores a prompt as lm-evaluation-harness reads it", async () => {
  const context = encodeText(tokenizer, "What should I feed a");
  const continuation = encodeText(tokenizer, " quazzit?");
  const prompt = [...context, ...continuation];
  const request = { prompt: [prompt], max_tokens: 1, temperature: 0, logprobs: 1, echo: true };
  const { body } = await ask("/v1/completions", request);
  const { tokens, token_logprobs, top_logprobs, text_offset } = body.choices[0].logprobs;
  assert.equal(tokens.length, prompt.length + 1);
  assert.equal(token_logprobs[0], null);
  const sum = token_logprobs.slice(context.length, -1)
    .reduce((total: number, value: number) => total + value, 0);

  const pair = { prompt_ids: context, chosen_ids: continuation, rejected_ids: [1] };
  const { body: scored } = await ask("/v1/score", { pairs: [pair], reference: "reference" });
  const [{ chosen, rewards }] = scored.data;
  assert.equal(chosen.tokens, continuation.length);
  assertClose([sum], [chosen.sum], { absolute: 1e-4, name: "sum of log-probabilities" });
  assert.deepEqual(rewards, { chosen: 0, rejected: 0, margin: 0 }); // policy and reference are one model

  // Greedy where the likeliest token is the one that stands there.
  for (const [i, top] of top_logprobs.entries()) {
    if (i === 0) continue;
    const [[likeliest, logprob]] = Object.entries(top) as [string, number][];
    if (likeliest === tokens[i]) assert.equal(logprob, token_logprobs[i]);
    else assert.ok(logprob > token_logprobs[i]);
  }
  const text: string = body.choices[0].text;
  for (const [i, token] of tokens.slice(0, prompt.length).entries()) {
    assert.equal(text.slice(text_offset[i], text_offset[i] + token.length), token);
  }
});

Deno.test("single answers have the scores of the same answers in pairs, and their labels", async () => {
  const turn = (role: string, content: string) => ({ role, content });
  const prompt = [turn("user", "What should I feed a quazzit?")];
  const [good, bad] = ["Honey.", "No."].map((text) => [turn("assistant", text)]);
  const answers = [
    { messages: [...prompt, ...good], label: true },
    { messages: [...prompt, ...bad], label: false },
  ];
  const against = { reference: "reference", beta: 0.5 };
  const { body: ofPairs } = await ask("/v1/score", {
    pairs: [{ prompt, chosen: good, rejected: bad }],
  });
  const { body } = await ask("/v1/score", { answers });
  const [{ chosen, rejected }] = ofPairs.data;
  assert.deepEqual(body.data.map(({ index, label }: AnswerScore) => [index, label]), [
    [0, true],
    [1, false],
  ]);
  for (const [i, score] of [chosen, rejected].entries()) {
    const { completion } = body.data[i];
    assert.equal(completion.tokens, score.tokens);
    assertClose([completion.sum], [score.sum], { absolute: 1e-4, name: "sum" });
  }
  assert.equal(body.usage.prompt_tokens, ofPairs.usage.prompt_tokens);
  const { body: rewarded } = await ask("/v1/score", { answers, ...against });
  assert.deepEqual(rewarded.data, body.data.map((score: AnswerScore) => ({ ...score, reward: 0 })));
});

Deno.test("the greedy text is that of generate", async () => {
  using stored = await openStoredModel("fixtures/model");
  const model = await loadModel(gpu, stored, { precision: "f32", positions: 64 });
  const [{ ids }] = await generate(model, [encodeText(tokenizer, "The molp is")], {
    ...GREEDY,
    maxNewTokens: 8,
    stopIds: [],
  });
  const rest = { ignore_eos: true, skip_special_tokens: false };
  const request = { prompt: "The molp is", temperature: 0, max_tokens: 8, ...rest };
  const { body } = await ask("/v1/completions", request);
  assert.equal(body.choices[0].text, tokenizer.decode(ids));
});

Deno.test("the next turn of a conversation says how much of it was known", async () => {
  const turns = [...Array(3)].flatMap(() => [
    { role: "user", content: QUESTION },
    { role: "assistant", content: "Sure! You can feed honey to the quazzit." },
  ]);
  const usageOf = async (messages: object[]) =>
    (await ask("/v1/chat/completions", { messages, ...greedy, max_tokens: 4 })).body.usage;
  const first = await usageOf([...turns.slice(0, 2), { role: "user", content: QUESTION }]);
  const next = await usageOf([...turns.slice(0, 4), { role: "user", content: QUESTION }]);
  const whole = Math.floor(first.prompt_tokens / 32) * 32;
  assert.equal(next.prompt_tokens_details.cached_tokens, whole);
  assert.ok(whole >= 32);
});
