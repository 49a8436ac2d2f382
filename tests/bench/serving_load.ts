/**
 * 64 clients for five minutes: `deno run -P=test tests/bench/serving_load.ts [SECONDS] [--train]`. Prints as a line of JSON
 * what became of every request, and the server's memory as time went by; what was recorded is in serving_load.jsonl. With
 * `--train` the server trains meanwhile.
 *
 * @module
 */
import { currentCommit } from "../../src/platform/commit.ts";
import { idleLoad, runLoad } from "../e2e/load.ts";
import { usageOf } from "../e2e/process_usage.ts";
import { ask, loadOf, serve, until } from "../e2e/server.ts";

const SAMPLE_SECONDS = 10;
/** After which memory must stay what it is. */
const WARM_SECONDS = 60;

const seconds = Number(Deno.args.find((word) => /^\d+$/.test(word)) ?? 300);
const trains = Deno.args.includes("--train");

await using server = await serve("--max-model-len", "256", "--max-queue", "64");
const { address, process, said } = server;
const job = trains ? await beginTraining() : null;

const samples: { seconds: number; residentBytes: number | null; gpuBytes: number }[] = [];
const load = await runLoad(address, {
  clients: 64,
  seconds,
  onTime: async (passed) => {
    if (passed < samples.length * SAMPLE_SECONDS) return;
    const { gpuBytes } = await loadOf(address);
    const residentBytes = (await usageOf(process))?.residentBytes ?? null;
    samples.push({ seconds: Math.round(passed), residentBytes, gpuBytes });
  },
});
const training = job && await endTraining(job);
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

async function beginTraining(): Promise<string> {
  const response = await ask(address, "/v1/fine_tuning/jobs", {
    model: "policy",
    training_file: "fixtures",
    method: { type: "dpo", dpo: { hyperparameters: { batch_size: 2 } } },
    smoldpo: { max_steps: 1_000_000, max_length: 64, truncation: "prompt_first" },
  });
  return (await response.json()).id;
}

/** @returns How far it came. */
async function endTraining(id: string): Promise<{ steps: number }> {
  const path = `/v1/fine_tuning/jobs/${id}`;
  const events = await (await ask(address, `${path}/events?limit=100`)).json();
  const metrics = events.data.find(({ type }: { type: string }) => type === "metrics");
  const { smoldpo } = await (await ask(address, `${path}/cancel`, {})).json();
  const status = async () => (await (await ask(address, path)).json()).status;
  await until(async () => await status() === "cancelled", 60_000);
  await Deno.remove(smoldpo.output, { recursive: true });
  return { steps: metrics?.data.step ?? 0 };
}
