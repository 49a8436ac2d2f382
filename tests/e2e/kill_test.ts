/** A training that is killed again and again: no step goes back, and in the end it has the bits of one that was left alone. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openLatestCheckpoint } from "../../src/train/checkpoint.ts";
import { openCheckpointStorage } from "../../src/platform/checkpoint_storage.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, readAdapter, readMetrics, readModel, writeInputs } from "./inputs.ts";

/** Kills of each training; `SMOLDPO_KILLS=200` for a long look. */
const KILLS = Number(Deno.env.get("SMOLDPO_KILLS") ?? 3);
/** Most steps that a process does before it is killed. */
const REACH = 25;
const SAVE_STEPS = 3;
/** Fewest: a step is printed before its own checkpoint is written, and after the checkpoint before that. */
const LEAST = 2 * SAVE_STEPS;
const STEPS = KILLS * REACH;

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const ENGINE = Deno.env.get("SMOLDPO_ENGINE") ?? "deno";

/** Trains in a process of its own, and kills it once it has told of a step. */
async function killedAt(step: number, flags: (string | number)[]): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", MAIN, "train", ...flags.map(String)],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let told = "";
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
    told += text;
    const reached = [...told.matchAll(/ (\d+)\/\d+ /g)].some(([, done]) => Number(done) >= step);
    if (!reached) continue;
    child.kill("SIGKILL");
    break;
  }
  await child.status;
  assert.match(told, new RegExp(`/${STEPS} `), told);
}

const ACCUMULATED = ["--gradient-accumulation-steps", 2];
type Case = [name: string, flags: (string | number)[], read: typeof readModel];
const CASES: Case[] = [
  ["f32", ["--precision", "f32"], readModel],
  ["f16, accumulated", ["--precision", "f16", ...ACCUMULATED], readModel],
  ["LoRA, accumulated", ["--precision", "f32", "--lora-r", 4, ...ACCUMULATED], readAdapter],
  // Single answers: the pairs are taken apart.
  [
    "KTO, f16, LoRA, a reference that follows",
    [
      ...["--loss-type", "kto", "--precision", "f16", "--lora-r", 4],
      ...["--sync-ref-model", "--ref-model-sync-steps", 5],
    ],
    readAdapter,
  ],
];

for (const [name, more, read] of CASES) {
  Deno.test(`killed ${KILLS} times by SIGKILL, a training ends with the bits of one that was left alone: ${name}`, () =>
    inTemporaryDirectory(async (directory) => {
      const inputs = inputFlags(await writeInputs(directory, 60));
      const recipe = ["--batch-size", 2, "--learning-rate", 1e-3, "--max-length", 64, ...more];
      const flags = [...inputs, ...recipe, "--max-steps", STEPS, "--save-steps", SAVE_STEPS];
      const output = `${directory}/killed`;
      const killed = [...flags, "--output", output, "--engine", ENGINE, "--no-cache"];
      let latest = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        const reach = LEAST + Math.floor(Math.random() * (REACH - LEAST));
        const target = Math.min(STEPS - 1, latest + reach);
        const resume = latest > 0 ? ["--resume"] : [];
        await killedAt(target, [...killed, ...resume, "--logging-steps", 1]);
        const storage = await openCheckpointStorage(`${output}/checkpoints`);
        const checkpoint = await openLatestCheckpoint(storage, () => {});
        assert.ok(checkpoint, `no checkpoint after kill ${kill}, at step ${target}`);
        checkpoint.close();
        assert.ok(checkpoint.step >= latest, `step ${checkpoint.step} after step ${latest}`);
        const saved = target - target % SAVE_STEPS - SAVE_STEPS;
        assert.ok(checkpoint.step >= saved, `${checkpoint.step} of ${target}`);
        latest = checkpoint.step;
      }
      await runOk("train", ...flags, "--output", output, "--resume");
      await runOk("train", ...flags, "--output", `${directory}/whole`);
      assert.deepEqual(await readMetrics(output), await readMetrics(`${directory}/whole`));
      assert.deepEqual(await read(output), await read(`${directory}/whole`));
    }));
}
