/** A value that is not finite is never silent: at f16 numbers overflow that f32 holds. */
import assert from "node:assert/strict";
import { gpu } from "../kernels/harness.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, readMetrics, writeInputs } from "./inputs.ts";

const withoutF16 = gpu.features.f16 ? "" : ` (skipped: "${gpu.info.description}" lacks shader-f16)`;
const F16 = ["--precision", "f16"];

Deno.test({
  name:
    `train: a gradient that overflows f16 at first is skipped, not complained about${withoutF16}`,
  ignore: !gpu.features.f16,
  fn: () =>
    inTemporaryDirectory(async (directory) => {
      const inputs = inputFlags(await writeInputs(directory, 4));
      const output = `${directory}/run`;
      const loss = ["--loss-type", "ipo", "--logprob", "sum", "--beta", 0.002];
      const { stderr } = await runOk(
        "train",
        ...[...inputs, ...F16, ...loss, "--batch-size", 1, "--num-train-epochs", 5],
        ...["--output", output],
      );
      const [, ...steps] = await readMetrics(output);
      const skipped = steps.slice(0, -1).filter(({ skipped }) => skipped).map(({ step }) => step);
      assert.ok(skipped.length > 0);
      for (const step of skipped) assert.match(stderr, RegExp(`^skipped +step ${step}: `, "m"));
      assert.match(stderr, /^self-check gradient norm \d/m);
      const report = await Deno.readTextFile(`${output}/report.html`);
      assert.ok(report.includes(`loss scale fell: steps ${skipped.join(", ")}.`));
    }),
});
