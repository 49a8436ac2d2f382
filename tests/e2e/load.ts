/** Many clients at once, of all kinds, each of which knows the answer that it must get. */
import assert from "node:assert/strict";
import { ask, loadOf, until } from "./server.ts";

interface Request {
  path: string;
  body: Record<string, unknown>;
}

/** What does not depend on when and beside whom a request was answered. */
interface Answer {
  choices?: { text: string }[];
  data?: unknown;
  tokens: number;
}

/** What a load did. */
export interface LoadReport {
  seconds: number;
  /** Whole and right answers, by kind. */
  answers: Record<string, number>;
  /** Times that a client was told to come back. */
  refusals: number;
  completionTokens: number;
  /** Milliseconds of the answers, and of /health meanwhile. */
  answerMs: Times;
  healthMs: Times;
  /** Anything else: what it was. */
  failures: string[];
}

interface Times {
  count: number;
  p50: number;
  p99: number;
  most: number;
}

function timesOf(milliseconds: readonly number[]): Times {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Math.round(10 * sorted[Math.floor(share * (sorted.length - 1))]) / 10;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), most: at(1) };
}

const QUESTIONS = ["What should I feed a quazzit?", "How does the frindle sound?", "Hello!"];
const PROMPTS = ["The", "What is for dinner in Jarrel? ", "A quazzit", "Sure! You can"];
const chat = (content: string) => [{ role: "user", content }];

/** Requests of each kind; the seed makes an answer repeatable. */
function requestsOf(kind: string, seed: number): Request {
  const prompt = PROMPTS[seed % PROMPTS.length];
  const messages = chat(QUESTIONS[seed % QUESTIONS.length]);
  const drawn = { temperature: 0.9, seed, max_tokens: 8 + seed % 3 * 8, ignore_eos: true };
  const stream = { stream: true, stream_options: { include_usage: true } };
  const kinds: Record<string, Request> = {
    plain: { path: "/v1/completions", body: { ...drawn, prompt } },
    streamed: { path: "/v1/completions", body: { ...drawn, ...stream, prompt } },
    logprobs: { path: "/v1/completions", body: { ...drawn, prompt, logprobs: 3 } },
    several: { path: "/v1/completions", body: { ...drawn, prompt, n: 3, temperature: 1.2 } },
    chat: { path: "/v1/chat/completions", body: { ...drawn, messages, temperature: 0 } },
    "streamed chat": {
      path: "/v1/chat/completions",
      body: { ...drawn, ...stream, messages, n: 2, logprobs: true, top_logprobs: 2 },
    },
    echo: {
      path: "/v1/completions",
      body: { prompt: prompt.repeat(4), max_tokens: 0, echo: true, logprobs: 1 },
    },
    score: {
      path: "/v1/score",
      body: { pairs: [{ prompt: messages, chosen: chat("a"), rejected: chat(prompt) }] },
    },
  };
  return kinds[kind];
}

export const KINDS = [
  ...["plain", "streamed", "logprobs", "several", "chat", "streamed chat", "echo", "score"],
];
const SEEDS = [1, 2, 3];

/** A request of a kind, with the answer that it has alone. */
interface Case extends Request {
  kind: string;
  expected: Answer;
}

/** Asks one by one, to know what to expect beside others. */
export async function casesOf(address: string): Promise<Case[]> {
  const cases: Case[] = [];
  for (const kind of KINDS) {
    for (const seed of SEEDS) {
      const request = requestsOf(kind, seed);
      cases.push({ kind, ...request, expected: (await answerTo(address, request))!.answer });
    }
  }
  const textsOf = (kind: string) =>
    cases.filter((each) => each.kind === kind).map(({ expected }) => expected.choices![0].text);
  assert.deepEqual(textsOf("streamed"), textsOf("plain"));
  return cases;
}

/**
 * Sends requests from `clients` at once, each case as often as every other but for one time.
 *
 * @param requests That are sent in all, unless `seconds` have passed before.
 * @param onTime Called about every second with the seconds that have passed.
 */
export async function runLoad(
  address: string,
  cases: readonly Case[],
  { clients, requests = Infinity, seconds = Infinity, onTime = () => Promise.resolve() }: {
    clients: number;
    requests?: number;
    seconds?: number;
    onTime?: (seconds: number) => Promise<void>;
  },
): Promise<LoadReport> {
  const began = performance.now();
  const passed = () => (performance.now() - began) / 1000;
  let begun = 0;
  const report: LoadReport = {
    seconds: 0,
    answers: Object.fromEntries(KINDS.map((kind) => [kind, 0])),
    refusals: 0,
    completionTokens: 0,
    answerMs: timesOf([]),
    healthMs: timesOf([]),
    failures: [],
  };
  const answerTimes: number[] = [];
  const client = async () => {
    while (begun < requests && passed() < seconds) {
      const { kind, expected, ...request } = cases[5 * begun++ % cases.length];
      try {
        const asked = performance.now();
        const answered = await answerTo(address, request, () => {
          report.refusals++;
          return passed() < seconds;
        });
        if (answered === null) return;
        answerTimes.push(performance.now() - asked);
        assert.deepEqual(answered.answer, expected);
        report.answers[kind]++;
        report.completionTokens += answered.tokens;
      } catch (error) {
        report.failures.push(`${kind}: ${(error as Error).message}`);
      }
    }
  };
  const healthTimes: number[] = [];
  let over = false;
  const watch = async () => {
    let told = 0;
    while (!over) {
      const asked = performance.now();
      await (await ask(address, "/health")).body?.cancel();
      healthTimes.push(performance.now() - asked);
      if (passed() - told >= 1) await onTime(told = passed());
      await new Promise((next) => setTimeout(next, 50));
    }
  };
  const all = Promise.all(Array.from({ length: clients }, client)).finally(() => over = true);
  await Promise.all([watch(), all]);
  return {
    ...report,
    seconds: passed(),
    answerMs: timesOf(answerTimes),
    healthMs: timesOf(healthTimes),
  };
}

/**
 * Asks until there is room.
 *
 * @param isPatient Whether to ask again after a refusal.
 * @returns null if it was not.
 * @throws {Error} If the answer is another than 200 or 429, or not whole.
 */
async function answerTo(
  address: string,
  { path, body }: Request,
  isPatient: () => boolean = () => true,
): Promise<{ answer: Answer; tokens: number } | null> {
  for (;;) {
    const response = await ask(address, path, body);
    const text = await response.text();
    if (response.status === 429) {
      const seconds = Number(response.headers.get("retry-after"));
      assert.ok(seconds > 0, "429 without Retry-After");
      if (!isPatient()) return null;
      await new Promise((next) => setTimeout(next, 1000 * seconds));
      continue;
    }
    assert.equal(response.status, 200, text);
    const { usage, ...rest } = body.stream ? assembled(text) : JSON.parse(text);
    const tokens = usage?.completion_tokens ?? 0;
    return { answer: { choices: rest.choices, data: rest.data, tokens }, tokens };
  }
}

/** A stream's events put together, by choice. @throws {Error} If it did not end as it should. */
function assembled(text: string) {
  const events = text.split("\n\n").filter(Boolean).map((event) => event.replace(/^data: /, ""));
  assert.equal(events.pop(), "[DONE]", "the stream was cut off");
  const choices: { text: string; logprobs: unknown[]; finish_reason: string | null }[] = [];
  let usage;
  for (const event of events) {
    const chunk = JSON.parse(event);
    assert.equal(chunk.error, undefined, event);
    for (const { index, text, delta, logprobs, finish_reason } of chunk.choices) {
      const choice = choices[index] ??= { text: "", logprobs: [], finish_reason: null };
      choice.text += text ?? delta?.content ?? "";
      if (logprobs) choice.logprobs.push(...logprobs.content ?? []);
      choice.finish_reason ??= finish_reason;
    }
    usage = chunk.usage ?? usage;
  }
  assert.ok(choices.every(({ finish_reason }) => finish_reason), "a choice without an end");
  return { choices, usage, data: undefined };
}

/** The server's load once nothing is in work. */
export async function idleLoad(address: string): Promise<Record<string, number>> {
  for (;;) {
    const load = await loadOf(address);
    if (load.running === 0 && load.waiting === 0) return load;
    await new Promise((next) => setTimeout(next, 10));
  }
}

/** Begins a training that does not end by itself, and waits for its first step. @returns The job's id. */
export async function beginTraining(address: string): Promise<string> {
  const response = await ask(address, "/v1/fine_tuning/jobs", {
    model: "policy",
    training_file: "fixtures",
    method: { type: "dpo", dpo: { hyperparameters: { batch_size: 2 } } },
    smoldpo: { max_steps: 1_000_000, max_length: 64, truncation: "prompt_first" },
  });
  const { id } = await response.json();
  await until(async () => await stepsOf(address, id) > 0, 120_000);
  return id;
}

async function stepsOf(address: string, id: string): Promise<number> {
  const response = await ask(address, `/v1/fine_tuning/jobs/${id}/events?limit=100`);
  const { data } = await response.json();
  return data.find(({ type }: { type: string }) => type === "metrics")?.data.step ?? 0;
}

/** Cancels it, and removes what it left. @returns How far it came. */
export async function endTraining(address: string, id: string): Promise<{ steps: number }> {
  const path = `/v1/fine_tuning/jobs/${id}`;
  const steps = await stepsOf(address, id);
  const { smoldpo } = await (await ask(address, `${path}/cancel`, {})).json();
  const status = async () => (await (await ask(address, path)).json()).status;
  await until(async () => await status() === "cancelled", 60_000);
  await Deno.remove(smoldpo.output, { recursive: true });
  return { steps };
}
