/**
 * 64 clients for five minutes: `deno run -P=test tests/bench/serving_load.ts [SECONDS] [--train]`. Prints as a line of JSON
 * what became of every request, and the server's memory as time went by; what was recorded is in serving_load.jsonl. With
 * `--train` the server trains meanwhile.
 *
 * @module
 */
import { currentCommit } from "../../src/platform/commit.ts";
import { beginTraining, casesOf, endTraining, idleLoad, runLoad } from "../e2e/load.ts";
import { usageOf } from "../e2e/process_usage.ts";
import { loadOf, serve } from "../e2e/server.ts";

const SAMPLE_SECONDS = 10;
/** After which memory must stay what it is. */
const WARM_SECONDS = 60;

const seconds = Number(Deno.args.find((word) => /^\d+$/.test(word)) ?? 300);
const trains = Deno.args.includes("--train");

await using server = await serve("--max-model-len", "256", "--max-queue", "64");
const { address, process, said } = server;
const job = trains ? await beginTraining(address) : null;

const samples: { seconds: number; residentBytes: number | null; gpuBytes: number }[] = [];
const load = await runLoad(address, await casesOf(address), {
  clients: 64,
  seconds,
  onTime: async (passed) => {
    if (passed < samples.length * SAMPLE_SECONDS) return;
    const { gpuBytes } = await loadOf(address);
    const residentBytes = (await usageOf(process))?.residentBytes ?? null;
    samples.push({ seconds: Math.round(passed), residentBytes, gpuBytes });
  },
});
const training = job && await endTraining(address, job);
const { freeCacheRows, cacheRows } = await idleLoad(address);
const warm = samples.find(({ seconds }) => seconds >= WARM_SECONDS) ?? samples[0];
const last = samples.at(-1)!;
console.log(JSON.stringify({
  device: said.find((line) => line.startsWith("device"))?.replace(/^device +/, ""),
  date: new Date().toISOString(),
  commit: await currentCommit(),
  training,
  load: { ...load, failures: load.failures.length, firstFailures: load.failures.slice(0, 5) },
  memory: {
    growthAfterWarmUp: last.residentBytes! / warm.residentBytes! - 1,
    gpuBytesAfterWarmUp: [warm.gpuBytes, last.gpuBytes],
    cacheRowsLost: cacheRows - freeCacheRows,
    samples,
  },
}));
