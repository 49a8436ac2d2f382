import assert from "node:assert/strict";
import { ask, eventsOf, messages, tokenizer } from "./served.ts";

const QUESTION = "What should I feed a quazzit?";
const greedy = { temperature: 0, max_tokens: 24 };

Deno.test("a stop string ends the text before it, wherever tokens part", async () => {
  const whole = (await ask("/v1/completions", { prompt: "The quazzit likes to", ...greedy }))
    .body.choices[0].text;
  for (let at = 3; at < whole.length - 4; at += 3) {
    const stop = whole.slice(at, at + 4);
    const expected = whole.slice(0, whole.indexOf(stop));
    const request = { prompt: "The quazzit likes to", ...greedy, stop: ["never said", stop] };
    const { body } = await ask("/v1/completions", request);
    assert.equal(body.choices[0].text, expected, JSON.stringify(stop));
    assert.equal(body.choices[0].finish_reason, "stop");
    const { events } = eventsOf((await ask("/v1/completions", { ...request, stream: true })).body);
    const streamed = events.map(({ choices }) => choices[0].text).join("");
    assert.equal(streamed, expected, `streamed, ${JSON.stringify(stop)}`);
  }
});

Deno.test("a seed repeats a draw; each of n differs; without a seed each request does", async () => {
  const request = { prompt: "The", temperature: 1.5, max_tokens: 20, n: 3, seed: 11 };
  const texts = async (rest: object) =>
    (await ask("/v1/completions", { ...request, ...rest })).body.choices
      .map(({ text }: { text: string }) => text);
  const once = await texts({});
  assert.equal(new Set(once).size, 3);
  assert.deepEqual(await texts({}), once);
  assert.notDeepEqual(await texts({ seed: 12 }), once);
  assert.notDeepEqual(await texts({ seed: null }), await texts({ seed: null }));
});

Deno.test("chat logprobs have OpenAI's shape and sum up to the whole", async () => {
  const { body } = await ask("/v1/chat/completions", {
    messages: messages(QUESTION),
    ...greedy,
    logprobs: true,
    top_logprobs: 3,
  });
  const { message, logprobs } = body.choices[0];
  const bytes = logprobs.content.flatMap(({ bytes }: { bytes: number[] }) => bytes);
  assert.equal(new TextDecoder().decode(Uint8Array.from(bytes)), message.content);
  for (const { token, logprob, top_logprobs } of logprobs.content) {
    assert.equal(top_logprobs.length, 3);
    assert.deepEqual([top_logprobs[0].token, top_logprobs[0].logprob], [token, logprob]);
  }
});

Deno.test("tokens go to text and back", async () => {
  const text = "Sure! You can feed honey.";
  const { body } = await ask("/v1/tokenize", { prompt: text });
  assert.equal(body.count, body.tokens.length);
  assert.deepEqual((await ask("/v1/detokenize", { tokens: body.tokens })).body, { prompt: text });
  const chat = await ask("/v1/tokenize", { messages: messages("Hi") });
  assert.ok(chat.body.count > 3);
  assert.equal((await ask("/v1/detokenize", { tokens: [] })).body.prompt, "");
});

Deno.test("other clients' words are understood: parts of content, max_completion_tokens, bias", async () => {
  const parts = [{ role: "user", content: [{ type: "text", text: QUESTION }] }];
  const request = { messages: parts, temperature: 0, max_completion_tokens: 3 };
  const { body } = await ask("/v1/chat/completions", request);
  assert.equal(body.choices[0].finish_reason, "length");
  assert.equal(body.usage.completion_tokens, 3);
  const [comma] = tokenizer.encode(",");
  const biased = await ask("/v1/completions", {
    prompt: "a",
    max_tokens: 3,
    temperature: 0,
    logit_bias: { [comma]: 100 },
  });
  assert.equal(biased.body.choices[0].text, ",,,");
  assert.equal(
    (await ask("/v1/completions", { prompt: "a", max_tokens: 0 })).body.choices[0].text,
    "",
  );
});
