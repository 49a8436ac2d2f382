import assert from "node:assert/strict";
import { lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { assertNear } from "./golden.ts";
import { readMetrics } from "./inputs.ts";
import { LEARNING_RATE, MODEL, type TrlRun } from "./trl.ts";
import {
  COMPARED,
  optionsOf,
  trainVariant,
  type VariantName,
  VARIANTS,
  writeVariantRows,
} from "./trl_variants.ts";
import recorded from "./trl_variants.json" with { type: "json" };

const stepsOf = (name: VariantName) => recorded[name].steps as unknown as TrlRun["steps"];

const NAMES = Object.keys(VARIANTS) as VariantName[];

/** Metrics that mean something else here. */
const OTHERS: Partial<Record<VariantName, string[]>> = {
  apo_zero_unpaired: ["kl"], // the loss has none, and TRL logs 0
  "shared length": ["logps/chosen", "logps/rejected"], // of whole answers here, TRL weighs them
};

function assertSame(found: Record<string, number>[], expected: TrlRun["steps"], name: VariantName) {
  assert.equal(found.length, expected.length);
  for (const [i, theirs] of expected.entries()) {
    const compared = COMPARED.filter((metric) => metric in theirs);
    for (const metric of compared.filter((metric) => !OTHERS[name]?.includes(metric))) {
      // TRL 0.13 rounds the loss to four digits; the divergence is a small difference of sums.
      const tolerance = metric === "loss"
        ? { absolute: 6e-5, relative: 1e-6 }
        : { absolute: 5e-5, relative: metric === "grad_norm" ? 1e-3 : 1e-4 };
      assertNear(
        found[i][metric],
        theirs[metric],
        tolerance,
        `${name}: ${metric} of step ${i + 1}`,
      );
    }
  }
}

for (const name of NAMES) {
  Deno.test(`TRL 1.16's curve: ${name}`, () =>
    inTemporaryDirectory(async (path) => {
      const flags = Object.entries(optionsOf(name)).flatMap(([key, value]) => [
        `--${key.replaceAll("_", "-")}`,
        ...value === true ? [] : [`${value}`],
      ]);
      await runOk(
        "train",
        ...["--preset", "trl", "--model", MODEL, "--output", `${path}/run`, "--no-shuffle"],
        ...["--dataset", await writeVariantRows(name, `${path}/rows.jsonl`)],
        ...["--num-train-epochs", "1", "--learning-rate", LEARNING_RATE, "--save-steps", "0"],
        ...flags,
      );
      const steps = await readMetrics(`${path}/run`);
      assertSame(steps, stepsOf(name), name);
      assert.notEqual(steps.at(-1)!["rewards/chosen"], 0);
    }));
}

const lack = await lackOfPython("accelerate", "datasets", "rich", "torch", "transformers", "trl");
Deno.test(
  unless(lack, "the TRL that is here gives the recorded run of KTO"),
  () =>
    inTemporaryDirectory(async (path) => {
      const dataset = await writeVariantRows("kto", `${path}/rows.jsonl`);
      const { steps } = await trainVariant("kto", dataset);
      assertSame(steps, stepsOf("kto"), "kto");
    }),
);
