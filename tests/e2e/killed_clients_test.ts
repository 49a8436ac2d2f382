/** Clients that are killed while they wait, while their prompt is read and while they are answered: what they held is free at once. */
import assert from "node:assert/strict";
import { idleLoad } from "./load.ts";
import { ask, headers, linesOf, serve, until } from "./server.ts";

const SLOTS = 4;
/** So many of each of the six kinds: 54. */
const KILLS = 9;
const PROMPT_TOKENS = 300;
/** From the client's end to the server's, where no step is under way. */
const MOST_MS = 250;

Deno.test("54 clients killed by SIGKILL leave neither sequences nor memory behind", async (test) => {
  await using server = await serve("--parallel", String(SLOTS), "--max-model-len", "512");
  const { address } = server;
  const prefillMs = await timeToFirstToken(address);
  const gpuBytes: number[] = [];
  for (const stream of [true, false]) {
    for (const [phase, kill] of Object.entries({ queue: inQueue, prefill: inPrefill, decoding })) {
      await test.step(`${KILLS} ${stream ? "streams" : "plain answers"}, ${phase}`, async () => {
        const clients = await Promise.all(Array.from({ length: KILLS }, () => start(address)));
        const times: number[] = [];
        for (const client of clients) {
          times.push(await kill(address, client, stream, prefillMs));
          const { freeCacheRows, cacheRows } = await idleLoad(address);
          assert.equal(freeCacheRows, cacheRows);
        }
        console.log(`free after ${times.map(Math.round).join(", ")} ms`);
        // A step that is under way when the client goes is not broken off: reading a prompt is one.
        const step = phase === "prefill" ? prefillMs : 0;
        assert.ok(Math.max(...times) <= step + MOST_MS, `${times} ms; a step takes ${step} ms`);
        gpuBytes.push((await idleLoad(address)).gpuBytes);
      });
    }
  }
  assert.equal(gpuBytes.at(-1), gpuBytes[0]);
  // The door has forgotten them too: there is room for as many as ever.
  const most = SLOTS + 64; // --max-queue
  const all = await ask(address, "/v1/completions", { prompt: "The", max_tokens: 1, n: most });
  assert.equal((await all.json()).choices?.length, most);
  assert.deepEqual(server.said.filter((line) => /^error/.test(line)), []);
});

let asked = 0;
/** A request whose answer takes long, and whose prompt no earlier one began with. */
function request(stream: boolean, promptTokens = 8) {
  asked++;
  const prompt = Array.from({ length: promptTokens }, (_, i) => (i === 0 ? asked : 7 * i) % 500);
  return { prompt, max_tokens: 100, ignore_eos: true, stream };
}

interface Client {
  process: Deno.ChildProcess;
  lines: AsyncGenerator<string>;
}

async function start(address: string): Promise<Client> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--allow-net=127.0.0.1", "tests/e2e/mortal_client.ts", address],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = linesOf(process.stdout);
  await said(lines, "ready");
  return { process, lines };
}

async function said(lines: AsyncGenerator<string>, what: string): Promise<void> {
  const { value } = await lines.next();
  assert.equal(value, what);
}

async function askBy({ process, lines }: Client, body: object): Promise<void> {
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(body)));
  await writer.close();
  await said(lines, "asked");
}

/** Kills a client. @returns Milliseconds until a condition holds. */
async function killed(
  { process, lines }: Client,
  isFree: () => Promise<boolean>,
): Promise<number> {
  process.kill("SIGKILL");
  const ms = await until(isFree, 30_000);
  await process.status;
  for await (const line of lines) assert.equal(line, "begun", "nobody had a whole answer");
  return ms;
}

/** Behind others that hold all slots. */
async function inQueue(address: string, client: Client, stream: boolean): Promise<number> {
  const gone = new AbortController();
  const others = fetch(`http://${address}/v1/completions`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ ...request(false), max_tokens: 480, n: SLOTS }),
    signal: gone.signal,
  });
  await until(async () => (await stateOf(address)).running === SLOTS, 30_000);
  await askBy(client, request(stream));
  await until(async () => (await stateOf(address)).waiting === 1, 30_000);
  const ms = await killed(client, async () => (await stateOf(address)).waiting === 0);
  assert.equal((await stateOf(address)).running, SLOTS, "the others were not disturbed");
  gone.abort();
  await assert.rejects(others);
  return ms;
}

/** While its prompt is read: a third of the time that this takes after it has asked. */
async function inPrefill(
  address: string,
  client: Client,
  stream: boolean,
  prefillMs: number,
): Promise<number> {
  const { tokens } = await stateOf(address);
  await askBy(client, request(stream, PROMPT_TOKENS));
  await new Promise((next) => setTimeout(next, prefillMs / 3));
  const ms = await killed(client, async () => (await stateOf(address)).running === 0);
  assert.ok((await stateOf(address)).tokens <= tokens + 1, "it was killed before it was answered");
  return ms;
}

/** When its answer has begun. */
async function decoding(address: string, client: Client, stream: boolean): Promise<number> {
  const { tokens } = await stateOf(address);
  await askBy(client, request(stream));
  if (stream) await said(client.lines, "begun");
  else await until(async () => (await stateOf(address)).tokens > tokens, 30_000);
  return await killed(client, async () => (await stateOf(address)).running === 0);
}

/** Of a prompt as long as those that are killed. */
async function timeToFirstToken(address: string): Promise<number> {
  let ms = 0;
  for (let i = 0; i < 2; i++) { // the first one compiles
    const began = performance.now();
    const response = await ask(address, "/v1/completions", {
      ...request(false, PROMPT_TOKENS),
      max_tokens: 1,
    });
    await response.json();
    ms = performance.now() - began;
  }
  return ms;
}

/** What the server counts. */
async function stateOf(address: string) {
  const text = await (await ask(address, "/metrics")).text();
  const number = (name: string) =>
    Number(new RegExp(`^smoldpo_${name} (\\d+)$`, "m").exec(text)![1]);
  return {
    running: number("running"),
    waiting: number("waiting"),
    tokens: number("completion_tokens_total"),
  };
}
