/** Single answers with labels from the command line: trained on, held out, evaluated, kept. */
import assert from "node:assert/strict";
import { randomPairs } from "../model/small_models.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { readMetrics, writeModel } from "./inputs.ts";

Deno.test("KTO: held-out answers measure alike in train and eval, and scores of others are not taken for theirs", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const write = async (name: string, seed: number, count: number) => {
      const path = `${directory}/${name}.jsonl`;
      const rows = randomPairs(seed, count, 113).map(({ chosen }, i) => ({
        input_ids: [...chosen.ids],
        prompt_length: chosen.promptLength,
        label: i % 2 === 0,
      }));
      await Deno.writeTextFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      return path;
    };
    const [answers, heldOut] = [await write("answers", 1, 8), await write("held-out", 2, 9)];
    const output = `${directory}/run`;
    const loss = ["--loss-type", "kto", "--max-length", 64];
    await runOk(
      "train",
      ...["--model", model, "--dataset", answers, "--eval-dataset", heldOut, "--output", output],
      ...[...loss, "--learning-rate", 1e-3, "--batch-size", 4, "--num-train-epochs", 4],
    );
    const metrics = await readMetrics(output);
    const [before, after] = [metrics[0], metrics.at(-1)!];
    assert.deepEqual([before.eval_loss, before["eval_rewards/accuracies"]], [0.5, 0.5]);
    assert.ok(after["eval_rewards/chosen"] !== 0);
    const { data } = JSON.parse(await Deno.readTextFile(`${output}/run.json`));
    assert.deepEqual(data.map(({ audit }: { audit: { good: number } }) => audit.good), [4, 5]);
    assert.equal("suspectedFlips" in data[0].audit, false, "nothing to be flipped");

    const against = ["--model", output, "--reference", model, "--dataset", heldOut, "--json"];
    const found = JSON.parse((await runOk("eval", ...against, ...loss)).stdout);
    const measured = Object.entries(after).filter(([name]) => name in found);
    assert.ok(measured.length >= 8);
    for (const [name, value] of measured) assert.equal(found[name], value, name);

    // What needs no answers of others has other scores in the cache.
    const cached = ["--cache-dir", `${directory}/cache`, "--batch-size", 4, "--max-steps", 2];
    const training = ["--model", model, "--dataset", answers, "--max-length", 64, ...cached];
    const run = async (type: string) => {
      const flags = [
        ...training,
        "--loss-type",
        type,
        "--output",
        `${directory}/${crypto.randomUUID()}`,
      ];
      return (await runOk("train", ...flags, "--verbose")).stderr;
    };
    const scores = (told: string, found: string) =>
      RegExp(`reference scores .*: ${found}`).test(told);
    assert.ok(scores(await run("kto"), "none yet"));
    assert.ok(scores(await run("apo_zero_unpaired"), "none yet"));
    assert.ok(scores(await run("kto"), "of 8 of 8 pairs, 4 of them verified"));
  }));
