/** OpenAI's own client, unchanged, in a process of its own: prints what a server answers it, as JSON. */
import OpenAI from "openai";

const [address, job] = Deno.args;
const client = new OpenAI({ apiKey: "secret", baseURL: `http://${address}/v1`, maxRetries: 0 });
const messages = [{ role: "user" as const, content: "What should I feed a quazzit?" }];
const request = { model: "policy", messages, temperature: 0, max_tokens: 24 };

async function conformance() {
  const models = (await client.models.list()).data.map(({ id }) => id);
  const whole = await client.chat.completions.create(request);
  let streamed = "";
  let usage;
  const stream = await client.chat.completions.create({
    ...request,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    streamed += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  const drawn = async (seed: number) =>
    (await client.completions.create({
      model: "policy",
      prompt: "The",
      n: 2,
      seed,
      max_tokens: 12,
      logprobs: 2,
    })).choices.map(({ text }) => text);
  const statusOf = (promise: Promise<unknown>) =>
    promise.then(() => 200, (error) => `${error.constructor.name} ${error.status}`);
  const stranger = new OpenAI({ apiKey: "wrong", baseURL: client.baseURL, maxRetries: 0 });
  return {
    models,
    content: whole.choices[0].message.content,
    streamed,
    sameUsage: JSON.stringify(usage) === JSON.stringify(whole.usage),
    repeated: JSON.stringify(await drawn(3)) === JSON.stringify(await drawn(3)),
    errors: {
      wrongKey: await statusOf(stranger.models.list()),
      wrongModel: await statusOf(client.chat.completions.create({ ...request, model: "none" })),
      wrongField: await statusOf(
        client.chat.completions.create({ ...request, temperature: 9 }),
      ),
    },
  };
}

/** Begins a long answer, says so, and waits for its end. */
async function linger(stream: boolean) {
  const long = { ...request, max_tokens: 400, logit_bias: { "2": -100 }, stream } as const;
  const answering = client.chat.completions.create({ ...long, n: 4 });
  if (stream) {
    for await (const _ of await answering as AsyncIterable<unknown>) console.log("begun");
  } else {
    console.log("begun");
    await answering;
  }
}

if (job === "conformance") console.log(JSON.stringify(await conformance()));
else await linger(job === "stream");
