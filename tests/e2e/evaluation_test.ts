/** Evaluation on the way, the best model at the end, stopping early. */
import assert from "node:assert/strict";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import { readMetrics, readModel } from "./inputs.ts";

const TRAIN = [
  ...["--max-pairs", 16, "--per-device-train-batch-size", 2, "--max-length", 96],
  ...["--eval-dataset", "fixtures/pairs/eval.jsonl[:4]"],
];

const train = (output: string, ...flags: (string | number)[]) =>
  runOk("train", ...TRAIN, "--output", output, ...flags);

const evaluations = async (path: string) =>
  (await readMetrics(path)).filter((line) => "eval_loss" in line);

Deno.test("train evaluates every n steps, changes no bit by it, and a resumed run has the same lines", () =>
  inTemporaryDirectory(async (directory) => {
    const evaluating = ["--eval-strategy", "steps", "--eval-steps", 3];
    await train(`${directory}/plain`, "--max-steps", 6);
    await train(`${directory}/whole`, "--max-steps", 6, ...evaluating, "--save-steps", 2);
    assert.deepEqual(await readModel(`${directory}/whole`), await readModel(`${directory}/plain`));
    const lines = await evaluations(`${directory}/whole`);
    assert.deepEqual(lines.map(({ step }) => step), [0, 3, 6]);
    const steps = (await readMetrics(`${directory}/whole`)).filter((line) =>
      !("eval_loss" in line)
    );
    const plain = (await readMetrics(`${directory}/plain`)).filter((line) =>
      !("eval_loss" in line)
    );
    assert.deepEqual(steps, plain);

    // From the checkpoint behind the evaluation of step 3.
    const from = `${directory}/whole/checkpoints/step-4`;
    await Deno.mkdir(`${directory}/again/checkpoints`, { recursive: true });
    await Deno.copyFile(`${directory}/whole/metrics.jsonl`, `${directory}/again/metrics.jsonl`);
    await Deno.mkdir(`${directory}/again/checkpoints/step-4`);
    for await (const { name } of Deno.readDir(from)) {
      await Deno.copyFile(`${from}/${name}`, `${directory}/again/checkpoints/step-4/${name}`);
    }
    await train(`${directory}/again`, "--max-steps", 6, ...evaluating, "--resume");
    assert.deepEqual(
      await readMetrics(`${directory}/again`),
      await readMetrics(`${directory}/whole`),
    );
    assert.deepEqual(await readModel(`${directory}/again`), await readModel(`${directory}/whole`));
  }));

Deno.test("the best evaluated model is saved, and a training that gets no better ends", () =>
  inTemporaryDirectory(async (directory) => {
    const evaluating = ["--eval-strategy", "steps", "--eval-steps", 1, "--learning-rate", 3e-3];
    const best = ["--load-best-model-at-end", "--early-stopping-patience", 2];
    const { stderr } = await train(`${directory}/best`, ...evaluating, ...best);
    const lines = await evaluations(`${directory}/best`);
    const losses = lines.slice(1).map(({ eval_loss }) => eval_loss);
    const at = losses.indexOf(Math.min(...losses)) + 1;
    assert.equal(lines.length, 1 + at + 2, "as far as the patience reaches");
    assert.ok(lines.length < 9, "before the planned end");
    assert.match(stderr, new RegExp(`stopped +after step ${at + 2}: eval_loss`));
    assert.match(stderr, new RegExp(`best +eval_loss .* after step ${at}: that model is saved`));

    await train(`${directory}/short`, "--learning-rate", 3e-3, "--max-steps", at);
    assert.deepEqual(await readModel(`${directory}/best`), await readModel(`${directory}/short`));
    const record = JSON.parse(await Deno.readTextFile(`${directory}/best/run.json`));
    assert.equal(record.bestStep, at);
  }));

Deno.test("options of evaluations that cannot be are refused before the first step", () =>
  inTemporaryDirectory(async (directory) => {
    const refused = async (message: RegExp, ...flags: string[]) => {
      const { code, stderr } = await run(
        "train",
        ...TRAIN,
        "--output",
        `${directory}/run`,
        ...flags,
      );
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      await Deno.remove(`${directory}/run`, { recursive: true }).catch(() => {});
    };
    await refused(
      /--early-stopping-patience only with --eval-strategy/,
      "--early-stopping-patience",
      "2",
    );
    await refused(
      /--metric-for-best-model to be one of loss, .*, found "f1"/,
      ...["--eval-strategy", "epoch", "--metric-for-best-model", "f1"],
    );
    const { stderr } = await run(
      "train",
      "--dataset",
      "fixtures/pairs/eval.jsonl",
      "--eval-strategy",
      "epoch",
    );
    assert.match(stderr, /--eval-dataset with --eval-strategy epoch, found no held-out pairs/);
  }));
