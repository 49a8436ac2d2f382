/** A value that is not finite is never silent: at f16 numbers overflow that f32 holds. */
import assert from "node:assert/strict";
import { lackOfF16 } from "../kernels/harness.ts";
import { randomPairs } from "../model/small_models.ts";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import { inputFlags, readMetrics, writeInputs, writeModel, writePairs } from "./inputs.ts";
import { unless } from "../skip.ts";

const F16 = ["--precision", "f16"];

Deno.test({
  ...unless(
    lackOfF16,
    "train: a gradient that overflows f16 at first is skipped, not complained about",
  ),
  fn: () =>
    inTemporaryDirectory(async (directory) => {
      const inputs = inputFlags(await writeInputs(directory, 4));
      const output = `${directory}/run`;
      const loss = ["--loss-type", "ipo", "--logprob", "sum", "--beta", 0.002];
      const { stderr } = await runOk(
        "train",
        ...[...inputs, ...F16, ...loss, "--batch-size", 1, "--num-train-epochs", 5],
        ...["--output", output, "--verbose"],
      );
      const [, ...steps] = await readMetrics(output);
      const skipped = steps.slice(0, -1).filter(({ skipped }) => skipped).map(({ step }) => step);
      assert.ok(skipped.length > 0);
      for (const step of skipped) assert.match(stderr, RegExp(`^skipped +step ${step}: `, "m"));
      assert.match(stderr, /^self-check loss 62500 at step \d+, gradient norm \d/m);
      const report = await Deno.readTextFile(`${output}/report.html`);
      assert.ok(report.includes(`loss scale fell: steps ${skipped.join(", ")}.`));
    }),
});

/** Whose gated products f16 cannot hold, and f32 can. */
const writeOverflowing = (path: string) =>
  writeModel(path, {}, 1, (name) => /gate|up/.test(name) ? 1000 : /down/.test(name) ? 1e-6 : 1);

Deno.test({
  ...unless(
    lackOfF16,
    "an overflow of f16 ends score, eval, audit, train and sft; the message names the row",
  ),
  fn: () =>
    inTemporaryDirectory(async (directory) => {
      const model = await writeOverflowing(`${directory}/overflowing`);
      const fine = await writeModel(`${directory}/fine`);
      // Row 0 is dropped, so the first number is of row 1.
      const [long, ...others] = randomPairs(2, 3, 113, 30);
      long.chosen = { ids: new Uint32Array(60).fill(5), promptLength: 3 };
      const dataset = await writePairs(`${directory}/pairs.jsonl`, [long, ...others]);
      const texts = `${directory}/texts.jsonl`;
      const rows = [long, ...others].map(({ chosen }) => ({ input_ids: [...chosen.ids] }));
      await Deno.writeTextFile(texts, rows.map((row) => JSON.stringify(row)).join("\n"));
      const drop = ["--max-length", 50, "--truncation", "drop"];
      const data = ["--dataset", dataset, ...drop];
      const output = () => ["--output", `${directory}/${crypto.randomUUID()}`];
      const heldOut = ["--eval-dataset", dataset];
      const commands: [whose: string, (string | number)[]][] = [
        ["the model", ["score", "--model", model, ...data]],
        ["the model", ["eval", "--model", model, "--reference", fine, ...data]],
        ["the reference", ["eval", "--model", fine, "--reference", model, ...data]],
        ["the reference", ["inspect", "--audit", "--model", fine, "--reference", model, ...data]],
        ["the reference", ["train", "--model", model, ...data, ...heldOut, ...output()]],
        ["the reference", ["train", "--model", model, ...data, ...output(), "--no-shuffle"]],
        [
          "the model",
          [
            ...["sft", "--model", model, "--dataset", texts, ...drop],
            ...["--eval-dataset", texts, ...output()],
          ],
        ],
      ];
      for (const [whose, [command, ...flags]] of commands) {
        const failed = await run(String(command), ...flags, ...F16);
        assert.equal(failed.code, 2, `${command}: ${failed.stderr}`);
        assert.match(
          failed.stderr,
          RegExp(
            `Expected finite numbers from ${whose}, found that the log-probability.* of row 1 is -?(NaN|Infinity): .*use --precision f32`,
          ),
          String(command),
        );
        assert.doesNotMatch(failed.stdout, /null|NaN/);
      }
      await runOk("score", "--model", model, ...data);
    }),
});
