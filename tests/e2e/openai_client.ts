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

/** Milliseconds within which any machine has done four steps. */
const LONGEST = 600_000;

/** Follows the events of a job, whose stream ends with it. */
async function waitFor(job: string) {
  const headers = { accept: "text/event-stream" };
  const signal = AbortSignal.timeout(LONGEST);
  const response = await client.fineTuning.jobs.listEvents(job, {}, { headers, signal })
    .asResponse();
  const text = await response.text().catch((cause) => {
    throw new Error(`${job} hangs: expected its events to end within ${LONGEST} ms`, { cause });
  });
  const end = "data: [DONE]\n\n";
  if (!text.endsWith(end)) throw new Error(`Expected ${job} to end, found ${text.slice(-300)}`);
}

/** Trains, with an answer meanwhile; asks the new model; begins another training and cancels it. */
async function training() {
  const { jobs } = client.fineTuning;
  const files = (await client.files.list()).data.map(({ id }) => id);
  const body = {
    model: "policy",
    training_file: files[0],
    method: { type: "dpo" as const, dpo: { hyperparameters: { batch_size: 2 } } },
    suffix: "mine",
  };
  const smoldpo = { max_steps: 4, max_length: 64, truncation: "prompt_first", learning_rate: 1e-3 };
  const create = (rest: object) => jobs.create({ ...body, ...rest });
  const { id, status } = await create({ smoldpo });
  const meanwhile = await client.chat.completions.create(request);
  const during = (await jobs.retrieve(id)).status;
  await waitFor(id);
  const job = await jobs.retrieve(id);
  const events = [];
  for await (const event of jobs.listEvents(id, { limit: 5 })) events.push(event);
  const answer = await client.chat.completions.create({
    ...request,
    model: job.fine_tuned_model!,
  });

  const { id: long } = await create({
    suffix: "long",
    smoldpo: { ...smoldpo, max_steps: 100_000 },
  });
  const wrong = await create({ training_file: "/etc/passwd" }).catch(({ status, code }) => [
    status,
    code,
  ]);
  const cancelled = await jobs.cancel(long);
  const listed = [];
  for await (const each of jobs.list({ limit: 1 })) listed.push(each.id);
  return {
    files,
    statuses: [status, during, job.status, cancelled.status],
    answered: [meanwhile, answer].map(({ choices }) => choices[0].message.content !== ""),
    model: job.fine_tuned_model,
    models: (await client.models.list()).data.map(({ id }) => id),
    steps: events.filter(({ type }) => type === "metrics").map(({ data }) =>
      (data as { step: number }).step
    ),
    last: events[0].message,
    wrong,
    listed: listed.join() === [long, id].join(),
    output: (job as unknown as { smoldpo: { output: string } }).smoldpo.output,
    other: (cancelled as unknown as { smoldpo: { output: string } }).smoldpo.output,
  };
}

const jobs = { conformance, training };
console.log(JSON.stringify(await jobs[job as keyof typeof jobs]()));
