/** The server with more clients than it has room for, and with nothing to do. */
import assert from "node:assert/strict";
import { beginTraining, casesOf, endTraining, idleLoad, KINDS, runLoad } from "./load.ts";
import { usageOf } from "./process_usage.ts";
import { serve, type Server, until } from "./server.ts";

const SLOTS = 4;
const CLIENTS = 64;
const FLAGS = ["--parallel", String(SLOTS), "--max-queue", "32", "--max-model-len", "256"];
type Cases = Awaited<ReturnType<typeof casesOf>>;

/** Of a round: each client has one or two, or beside a training one or none. */
const REQUESTS = 96;
const REQUESTS_BESIDE_TRAINING = 48;
/** That the process may grow by in a round: heaps take most of a minute to come to the size that they keep. */
const MOST_GROWTH_BYTES = REQUESTS * 2 ** 20;
/** What all sequences together may take; far less than they would like. */
const CACHE = ["--kv-cache-mib", "4"];

Deno.test("a server stands 64 clients at once, and idles behind them", async (test) => {
  await using server = await serve(...FLAGS, ...CACHE);
  const { address } = server;
  const cases = await casesOf(address);
  await test.step("64 clients: every answer whole and right", () => bears(server, cases));
  await test.step("64 clients beside a training", () => bearsTraining(address, cases));
  await test.step("comes below 1 % of a core where nobody asks", () => idles(server));
  assert.deepEqual(server.said.filter((line) => /^error/.test(line)), []);
});

/** Comes to rest. Some seconds behind its last work it is busy once more: with garbage, as far as its threads tell. */
async function idles({ address, process }: Server): Promise<void> {
  await idleLoad(address);
  if (await usageOf(process) === null) return console.log("not measured: it needs Linux's /proc");
  await until(async () => await shareOfCore(process, 2) < 0.01, 120_000);
}

/** The share of a core that a process takes over some seconds. */
async function shareOfCore(process: Deno.ChildProcess, seconds: number): Promise<number> {
  const before = (await usageOf(process))!;
  const began = performance.now();
  await new Promise((next) => setTimeout(next, 1000 * seconds));
  const passed = (performance.now() - began) / 1000;
  return ((await usageOf(process))!.cpuSeconds - before.cpuSeconds) / passed;
}

/** Twice, to see what the second time takes more. */
async function bears({ address, process }: Server, cases: Cases): Promise<void> {
  const rounds: { gpuBytes: number; residentBytes: number | undefined }[] = [];
  for (let round = 0; round < 2; round++) {
    await load(address, cases, REQUESTS);
    const { freeCacheRows, cacheRows, gpuBytes } = await idleLoad(address);
    assert.equal(freeCacheRows, cacheRows);
    rounds.push({ gpuBytes, residentBytes: (await usageOf(process))?.residentBytes });
  }
  const [before, after] = rounds;
  // Room is made for the largest batch that came; one more token than ever before takes some bytes, but nothing is lost.
  assert.ok(after.gpuBytes < 1.001 * before.gpuBytes, JSON.stringify(rounds));
  if (after.residentBytes === undefined) return console.log("memory not measured: no /proc");
  const growth = after.residentBytes - before.residentBytes!;
  assert.ok(growth < MOST_GROWTH_BYTES, `${growth} bytes`);
}

async function bearsTraining(address: string, cases: Cases): Promise<void> {
  const job = await beginTraining(address);
  await load(address, cases, REQUESTS_BESIDE_TRAINING);
  const { steps } = await endTraining(address, job);
  assert.ok(steps > 1, "it trained meanwhile");
}

async function load(address: string, cases: Cases, requests: number): Promise<void> {
  const report = await runLoad(address, cases, { clients: CLIENTS, requests });
  const { failures, answers, refusals, healthMs, answerMs } = report;
  assert.deepEqual(failures, []);
  for (const kind of KINDS) assert.equal(answers[kind], requests / KINDS.length, kind);
  assert.ok(refusals > 0, "there were more than it had room for");
  // Who answers on HTTP waits for no GPU.
  assert.ok(healthMs.p99 < answerMs.p50, JSON.stringify({ healthMs, answerMs }));
}
