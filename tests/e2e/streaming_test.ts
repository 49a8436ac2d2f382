/** A dataset that is read as training goes on. */
import assert from "node:assert/strict";
import { randomPairs } from "../model/small_models.ts";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import {
  inputFlags,
  readMetrics,
  readModel,
  writeAnswers,
  writeInputs,
  writeModel,
  writePairs,
} from "./inputs.ts";

const FLAGS = [
  ...["--streaming", "--max-steps", 12, "--batch-size", 3, "--learning-rate", 1e-3],
  ...["--max-length", 64, "--lr-scheduler-type", "cosine"],
];

Deno.test("train --streaming: resumed in any pass it has the bits of the whole run", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 10);
    const flags = [...inputFlags(inputs), ...FLAGS, "--shuffle-buffer-size", 4];
    const whole = `${directory}/whole`;
    const { stderr } = await runOk(
      "train",
      ...[...flags, "--output", whole, "--save-steps", 1, "--save-total-limit", 99],
    );
    assert.match(stderr, /streamed through 4 rows, counted at the end, not audited$/m);
    // Three passes of four steps over ten rows.
    assert.match(stderr, /data {7}read 30 of 30 pairs/);
    const metrics = await readMetrics(whole);
    for (const step of [2, 4, 7]) {
      const output = `${directory}/resumed-${step}`;
      await Deno.mkdir(`${output}/checkpoints`, { recursive: true });
      await Deno.copyFile(`${whole}/metrics.jsonl`, `${output}/metrics.jsonl`);
      const checkpoint = `${output}/checkpoints/step-${step}`;
      await Deno.mkdir(checkpoint);
      const name = (await Array.fromAsync(Deno.readDir(`${whole}/checkpoints`), ({ name }) => name))
        .find((name) => Number(/\d+/.exec(name)) === step)!;
      for await (const file of Deno.readDir(`${whole}/checkpoints/${name}`)) {
        await Deno.copyFile(
          `${whole}/checkpoints/${name}/${file.name}`,
          `${checkpoint}/${file.name}`,
        );
      }
      const resumed = await runOk("train", ...flags, "--output", output, "--resume");
      assert.match(resumed.stderr, /data {7}read 30 of 30 pairs/);
      assert.deepEqual(await readModel(output), await readModel(whole), `from step ${step}`);
      assert.deepEqual(await readMetrics(output), metrics);
    }
    await writePairs(inputs.pairs, randomPairs(4, 11, 113, 30));
    const changed = await run("train", ...flags, "--output", whole, "--resume");
    assert.equal(changed.code, 2);
    assert.match(changed.stderr, /Cannot resume: expected data "[0-9a-f]{64}"/);
  }));

Deno.test("KTO --streaming: without shuffling it has the bits of answers in memory, and resumed those of the whole run", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const dataset = await writeAnswers(`${directory}/answers.jsonl`, randomPairs(1, 13, 113, 30));
    const flags = [
      ...["--model", model, "--dataset", dataset, "--loss-type", "kto", "--max-length", 64],
      ...["--batch-size", 3, "--gradient-accumulation-steps", 2, "--learning-rate", 1e-3],
    ];
    // In memory, too, the last step of a pass has the last answer alone.
    const inOrder = async (output: string, ...more: string[]) => {
      await runOk("train", ...flags, "--max-steps", 5, "--no-shuffle", ...more, "--output", output);
      const lines = await readMetrics(output);
      return lines.map(({ epoch: _, ...line }) => line);
    };
    const [streamed, inMemory] = [`${directory}/streamed`, `${directory}/memory`];
    assert.deepEqual(await inOrder(streamed, "--streaming"), await inOrder(inMemory));
    assert.deepEqual(await readModel(streamed), await readModel(inMemory));

    const [whole, parts] = [`${directory}/whole`, `${directory}/parts`];
    const shuffled = [...flags, "--streaming", "--shuffle-buffer-size", 4];
    const { stderr } = await runOk("train", ...shuffled, "--max-steps", 5, "--output", whole);
    assert.match(stderr, /data {7}read 25 of 25 answers$/m);
    const early = ["--max-steps", 3, "--save-steps", 3, "--output", parts];
    await runOk("train", ...shuffled, ...early);
    await runOk("train", ...shuffled, "--max-steps", 5, "--output", parts, "--resume");
    assert.deepEqual(await readModel(parts), await readModel(whole));
    assert.deepEqual(await readMetrics(parts), await readMetrics(whole));
  }));

Deno.test("--streaming takes pairs apart for losses of single answers, also where a step ends amid a pair", () =>
  inTemporaryDirectory(async (directory) => {
    const { model, pairs } = await writeInputs(directory, 5);
    const flags = [
      ...["--model", model, "--dataset", pairs, "--loss-type", "apo_zero_unpaired"],
      ...["--batch-size", 3, "--learning-rate", 1e-3, "--max-length", 64, "--no-shuffle"],
      ...["--streaming"],
    ];
    const [whole, parts] = [`${directory}/whole`, `${directory}/parts`];
    const { stderr } = await runOk("train", ...flags, "--max-steps", 5, "--output", whole);
    // Four steps of ten answers, and three of the next pass, of two pairs.
    assert.match(stderr, /data {7}read 14 of 14 answers of 7 rows, 7 pairs taken apart$/m);
    const lines = await readMetrics(whole);
    assert.deepEqual(lines.map((line) => "rewards/rejected" in line), [
      true,
      true,
      true,
      true,
      true,
    ]);
    await runOk("train", ...flags, "--max-steps", 1, "--save-steps", 1, "--output", parts);
    await runOk("train", ...flags, "--max-steps", 5, "--output", parts, "--resume");
    assert.deepEqual(await readModel(parts), await readModel(whole));
  }));

Deno.test("train --streaming: starts and ends before the rest of the dataset is read", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 60);
    const rows = await Deno.readTextFile(inputs.pairs);
    // Far behind what is needed there is something that no one may read.
    await Deno.writeTextFile(inputs.pairs, `${rows}${"\n".repeat(1 << 20)}not a row\n`);
    const flags = [...inputFlags(inputs), ...FLAGS, "--shuffle-buffer-size", 8];
    const { stderr } = await runOk("train", ...flags, "--output", `${directory}/run`);
    assert.match(stderr, /data {7}read 36 of 36 pairs/);
    const { data } = JSON.parse(await Deno.readTextFile(`${directory}/run/run.json`));
    assert.equal(data[0].counts.rows, 36);
    const memory = ["--max-steps", 12, "--max-length", 64, "--output", `${directory}/other`];
    const whole = await run("train", ...inputFlags(inputs), ...memory);
    assert.match(whole.stderr, /line 1048637: expected JSON/);
  }));

Deno.test("sft --streaming: resumed it has the bits of the whole run", () =>
  inTemporaryDirectory(async (directory) => {
    const { model } = await writeInputs(directory, 1);
    const texts = Array.from(
      { length: 10 },
      (_, i) => `{"input_ids": [1, ${i + 2}, ${i + 3}, 4]}\n`,
    );
    const dataset = `${directory}/texts.jsonl`;
    await Deno.writeTextFile(dataset, texts.join(""));
    const flags = [
      ...["--model", model, "--dataset", dataset, "--streaming", "--shuffle-buffer-size", 4],
      ...["--batch-size", 3, "--learning-rate", 1e-3, "--max-length", 64],
    ];
    const [whole, parts] = [`${directory}/whole`, `${directory}/parts`];
    const { stderr } = await runOk("sft", ...flags, "--max-steps", 9, "--output", whole);
    assert.match(stderr, /streamed through 4 rows/);
    assert.match(stderr, /data {7}read 23 of 23 rows/);
    await runOk("sft", ...flags, "--max-steps", 6, "--save-steps", 6, "--output", parts);
    await runOk("sft", ...flags, "--max-steps", 9, "--output", parts, "--resume");
    assert.deepEqual(await readModel(parts), await readModel(whole));
    assert.deepEqual(await readMetrics(parts), await readMetrics(whole));
  }));

Deno.test("train --streaming: options that contradict it are refused", async () => {
  const refused = async (flags: (string | number)[], message: RegExp) => {
    const { code, stderr } = await run("train", ...flags);
    assert.equal(code, 2);
    assert.match(stderr, message);
  };
  await refused(["--streaming"], /Expected --max-steps with --streaming/);
  await refused(
    ["--streaming", "--max-steps", 1, "--max-pairs", 5],
    /no --max-pairs with --streaming/,
  );
  await refused(["--shuffle-buffer-size", 5], /--shuffle-buffer-size only with --streaming/);
});
