/** Clients that are killed while they wait, as soon as they have asked and while they are answered: what they held becomes free. */
import assert from "node:assert/strict";
import { idleLoad } from "./load.ts";
import { ask, headers, linesOf, serve, until } from "./server.ts";

const SLOTS = 4;
/** So many of each of the six kinds: 18. */
const KILLS = 3;
const POSITIONS = 512;
/** Tokens of an answer that nobody waits for: far more than come before its client is missed. */
const LONG_ANSWER = 480;

Deno.test("18 clients killed by SIGKILL leave neither sequences nor memory behind", async (test) => {
  await using server = await serve(
    ...["--parallel", String(SLOTS), "--max-model-len", String(POSITIONS)],
  );
  const { address } = server;
  // As much as all of them need: the longest prompt, and a batch of every slot.
  await answered(address, { ...request(false, 300), max_tokens: 1 });
  await answered(address, { ...request(false), max_tokens: 4, n: SLOTS });
  const { gpuBytes } = await idleLoad(address);
  for (const stream of [true, false]) {
    for (
      const [phase, kill] of Object.entries({ queue: inQueue, "just asked": justAsked, decoding })
    ) {
      await test.step(`${KILLS} ${stream ? "streams" : "plain answers"}, ${phase}`, async () => {
        const clients = await Promise.all(Array.from({ length: KILLS }, () => start(address)));
        for (const client of clients) {
          await kill(address, client, stream);
          const load = await idleLoad(address);
          assert.equal(load.freeCacheRows, load.cacheRows);
          assert.equal(load.gpuBytes, gpuBytes);
        }
      });
    }
  }
  // The door has forgotten them too: there is room for as many as ever.
  const most = SLOTS + 64; // --max-queue
  const { choices } = await answered(address, { prompt: "The", max_tokens: 1, n: most });
  assert.equal(choices.length, most);
  assert.deepEqual(server.said.filter((line) => /^error/.test(line)), []);
});

async function answered(address: string, body: object) {
  const response = await ask(address, "/v1/completions", body);
  assert.equal(response.status, 200);
  return await response.json();
}

let asked = 0;
/** A request whose answer takes long, and whose prompt no earlier one began with. */
function request(stream: boolean, promptTokens = 8) {
  asked++;
  const prompt = Array.from({ length: promptTokens }, (_, i) => (i === 0 ? asked : 7 * i) % 500);
  return {
    prompt,
    max_tokens: Math.min(LONG_ANSWER, POSITIONS - promptTokens),
    ignore_eos: true,
    stream,
  };
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

/** Kills a client, and waits until a condition holds. */
async function killed(
  { process, lines }: Client,
  isFree: () => Promise<boolean>,
): Promise<void> {
  process.kill("SIGKILL");
  await until(isFree, 30_000);
  await process.status;
  for await (const line of lines) assert.equal(line, "begun", "nobody had a whole answer");
}

/** Behind others that hold all slots. */
async function inQueue(address: string, client: Client, stream: boolean): Promise<void> {
  const gone = new AbortController();
  const others = fetch(`http://${address}/v1/completions`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ ...request(false), n: SLOTS }),
    signal: gone.signal,
  });
  await until(async () => (await stateOf(address)).running === SLOTS, 30_000);
  await askBy(client, request(stream));
  await until(async () => (await stateOf(address)).waiting === 1, 30_000);
  await killed(client, async () => (await stateOf(address)).waiting === 0);
  assert.equal((await stateOf(address)).running, SLOTS, "the others were not disturbed");
  gone.abort();
  await assert.rejects(others);
}

/** As soon as it has sent a long prompt: before it is read, meanwhile or soon after. */
async function justAsked(address: string, client: Client, stream: boolean): Promise<void> {
  await askBy(client, request(stream, 300));
  await killed(client, async () => (await stateOf(address)).running === 0);
}

/** When its answer has begun. */
async function decoding(address: string, client: Client, stream: boolean): Promise<void> {
  const { tokens } = await stateOf(address);
  await askBy(client, request(stream));
  if (stream) await said(client.lines, "begun");
  else await until(async () => (await stateOf(address)).tokens > tokens, 30_000);
  await killed(client, async () => (await stateOf(address)).running === 0);
  assert.ok((await stateOf(address)).tokens < tokens + LONG_ANSWER, "its answer was broken off");
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
