/** The server with nothing to do, and with more clients than it has room for. */
import assert from "node:assert/strict";
import { beginTraining, casesOf, endTraining, idleLoad, KINDS, runLoad } from "./load.ts";
import { usageOf } from "./process_usage.ts";
import { ask, loadOf, serve, type Server, until } from "./server.ts";

const SLOTS = 4;
const FLAGS = ["--parallel", String(SLOTS), "--max-queue", "32", "--max-model-len", "256"];
type Cases = Awaited<ReturnType<typeof casesOf>>;

/** For 99 of 100 requests to /health. */
const MOST_HEALTH_MS = 100;
/** Of memory in a round of ten seconds, once it is what it stays; and the rounds that it has for this. */
const MOST_GROWTH = 0.02;
const MOST_ROUNDS = 9;
/** What all sequences together may take; far less than they would like. */
const CACHE = ["--kv-cache-mib", "4"];

Deno.test("a server idles, and stands 64 clients at once", async (test) => {
  await using server = await serve(...FLAGS, ...CACHE);
  const { address } = server;
  const answered = await ask(address, "/v1/completions", { prompt: "The", max_tokens: 20 });
  assert.equal(answered.status, 200);
  await answered.body?.cancel();
  await test.step("comes below 1 % of a core where nobody asks", () => idles(server));
  const cases = await casesOf(address);
  await test.step("64 clients: every answer whole and right", () => bears(server, cases));
  await test.step("64 clients beside a training", () => bearsTraining(address, cases));
  await test.step("comes below 1 % of a core after all of that", () => idles(server));
  assert.deepEqual(server.said.filter((line) => /^error/.test(line)), []);
});

/** Comes to rest within half a minute. Some seconds behind its last work it is busy once more: with garbage, as far as its threads tell. */
async function idles({ address, process }: Server): Promise<void> {
  await idleLoad(address);
  if (await usageOf(process) === null) return console.log("not measured: it needs Linux's /proc");
  const shares: number[] = [];
  await until(async () => {
    shares.push(await shareOfCore(process, 4));
    return shares.at(-1)! < 0.01;
  }, 30_000);
  console.log(
    `of a core: ${shares.map((share) => `${(100 * share).toFixed(2)} %`).join(", then ")}`,
  );
}

/** The share of a core that a process takes over some seconds. */
async function shareOfCore(process: Deno.ChildProcess, seconds: number): Promise<number> {
  const before = (await usageOf(process))!;
  const began = performance.now();
  await new Promise((next) => setTimeout(next, 1000 * seconds));
  const passed = (performance.now() - began) / 1000;
  return ((await usageOf(process))!.cpuSeconds - before.cpuSeconds) / passed;
}

/** Ten seconds at a time, until memory no longer grows: heaps take most of a minute to come to the size that they keep. */
async function bears({ address, process }: Server, cases: Cases): Promise<void> {
  const growths: number[] = [];
  let before: { gpuBytes: number; residentBytes: number | undefined } | null = null;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const { failures, ...report } = await runLoad(address, cases, { clients: 64, seconds: 10 });
    console.log(JSON.stringify(report));
    assert.deepEqual(failures, []);
    for (const kind of KINDS) assert.ok(report.answers[kind] > 0, kind);
    assert.ok(report.refusals > 0, "there were more than it had room for");
    assert.ok(report.health.p99 < MOST_HEALTH_MS, `${report.health.p99} ms`);
    const idle = await idleLoad(address);
    assert.equal(idle.freeCacheRows, idle.cacheRows);
    const { gpuBytes } = await loadOf(address);
    const residentBytes = (await usageOf(process))?.residentBytes;
    if (before) {
      assertSteady(gpuBytes, before.gpuBytes);
      if (residentBytes === undefined) return console.log("memory not measured: no /proc");
      growths.push(residentBytes / before.residentBytes! - 1);
      if (growths.at(-1)! < MOST_GROWTH) break;
    }
    before = { gpuBytes, residentBytes };
  }
  const said = growths.map((growth) => `${(100 * growth).toFixed(1)} %`).join(", then ");
  console.log(`memory of the process grew in ten seconds by ${said}`);
  assert.ok(growths.at(-1)! < MOST_GROWTH, said);
}

async function bearsTraining(address: string, cases: Cases): Promise<void> {
  const job = await beginTraining(address);
  const { failures, ...report } = await runLoad(address, cases, { clients: 64, seconds: 8 });
  const { steps } = await endTraining(address, job);
  console.log(JSON.stringify({ steps, ...report }));
  assert.deepEqual(failures, []);
  assert.ok(steps > 1, "it trained meanwhile");
  assert.ok(report.health.p99 < MOST_HEALTH_MS, `${report.health.p99} ms`);
}

/** Room is made for the largest batch that came; one more token than ever before takes some bytes, but nothing is lost. */
function assertSteady(after: number, before: number): void {
  assert.ok(
    after < 1.001 * before,
    `${before} bytes of the GPU became ${after}`,
  );
}
