import assert from "node:assert/strict";
import type { InspectedRow, InspectedSequence } from "../../src/data/inspect.ts";
import { lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory, jsonLines, runOk } from "./command.ts";
import { assertNear } from "./golden.ts";
import { readMetrics } from "./inputs.ts";
import { BATCH, LEARNING_RATE, MODEL, STEPS, trainWithTrl, type TrlRun, writeRows } from "./trl.ts";
import recorded from "./trl_run.json" with { type: "json" };

/** How near two runs in f32 must be, by metric. TRL rounds the loss to four digits. */
const TOLERANCE = {
  loss: { absolute: 1e-3 },
  "rewards/chosen": { absolute: 1e-3 },
  "rewards/rejected": { absolute: 1e-3 },
  "rewards/margins": { absolute: 1e-3 },
  "logps/chosen": { absolute: 1e-3, relative: 1e-3 },
  "logps/rejected": { absolute: 1e-3, relative: 1e-3 },
  grad_norm: { absolute: 0, relative: 2e-3 },
};

/** Steps after which TRL has shown that it still gives the recorded run; all 50 take it half a minute. */
const REPEATED = 10;

/** Compares two runs step by step. */
function assertSameCurve(found: TrlRun["steps"], expected: TrlRun["steps"], steps = STEPS): void {
  assert.equal(found.length, steps);
  assert.equal(expected.length, steps);
  for (const [i, theirs] of expected.entries()) {
    for (const [name, tolerance] of Object.entries(TOLERANCE)) {
      assertNear(found[i][name], theirs[name], tolerance, `${name} of step ${i + 1}`);
    }
    // Before the first step all rewards are 0, and the larger one is rounding.
    if (i === 0) continue;
    const accuracy = "rewards/accuracies";
    assert.equal(found[i][accuracy], theirs[accuracy], `${accuracy} of step ${i + 1}`);
  }
}

function idsOf({ tokens }: InspectedSequence, part: "prompt" | "completion"): number[] {
  return tokens.filter((token) => token.part === part).map(({ id }) => id);
}

Deno.test("50 steps have the curve of TRL's DPOTrainer", () =>
  inTemporaryDirectory(async (path) => {
    const dataset = await writeRows(`${path}/rows.jsonl`);
    await runOk(
      "train",
      ...["--preset", "trl", "--model", MODEL, "--dataset", dataset, "--output", `${path}/run`],
      ...["--no-shuffle", "--num-train-epochs", "1", "--learning-rate", LEARNING_RATE],
      ...["--per-device-train-batch-size", BATCH, "--save-steps", "0"],
    );
    const steps = await readMetrics(`${path}/run`);
    assertSameCurve(steps, recorded.steps);
    assert.ok(steps[0].loss - steps.at(-1)!.loss > 0.03, "a curve, not a line");
  }));

const lack = await lackOfPython("accelerate", "datasets", "rich", "torch", "transformers", "trl");
Deno.test(
  unless(lack, "TRL gives the recorded run, on the tokens that we give it"),
  () =>
    inTemporaryDirectory(async (path) => {
      const dataset = await writeRows(`${path}/rows.jsonl`);
      const batch = { per_device_train_batch_size: BATCH };
      const run = await trainWithTrl("dpo", dataset, batch, REPEATED);
      console.log(Object.entries(run.versions).map((entry) => entry.join(" ")).join(", "));
      assertSameCurve(run.steps, recorded.steps.slice(0, REPEATED), REPEATED);
      const words = ["--model", MODEL, "--dataset", dataset, "--rows", STEPS * BATCH, "--json"];
      const { stdout } = await runOk("inspect", "--preset", "trl", ...words);
      const ours = jsonLines<InspectedRow>(stdout).map(({ sequences: [chosen, rejected] }) => ({
        prompt: idsOf(chosen, "prompt"),
        chosen: idsOf(chosen, "completion"),
        rejected: idsOf(rejected, "completion"),
      }));
      assert.deepEqual(ours, run.rows);
    }),
);
