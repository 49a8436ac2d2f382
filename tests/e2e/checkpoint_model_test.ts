/** A checkpoint is a model: what was trained from it, the rest from where the training began. */
import assert from "node:assert/strict";
import { inTemporaryDirectory, run, runOk } from "./command.ts";
import { inputFlags, readModel, writeInputs, writeModel } from "./inputs.ts";

const FLAGS = [
  ...["--max-steps", 3, "--per-device-train-batch-size", 2, "--learning-rate", 1e-3],
  ...["--max-length", 64, "--save-steps", 1, "--save-total-limit", 9],
];

for (
  const [what, ...more] of [["all layers"], [
    "a head of its own and one layer",
    "--head",
    "untied",
    "--train-layers",
    1,
  ]]
) {
  Deno.test(`a checkpoint as a model: ${what}`, () =>
    inTemporaryDirectory(async (directory) => {
      const inputs = inputFlags(await writeInputs(directory, 6));
      const output = `${directory}/run`;
      await runOk("train", ...inputs, ...FLAGS, ...more, "--output", output);
      const checkpoint = (step: number) => `${output}/checkpoints/step-${step}`;
      const { stderr } = await runOk(
        "convert",
        "--model",
        checkpoint(3),
        "--output",
        `${directory}/last`,
      );
      assert.match(stderr, /\d+ of \d+ tensors of .*step-3, others of /);
      assert.deepEqual(await readModel(`${directory}/last`), await readModel(output));

      const scoresOf = async (model: string) =>
        (await runOk("score", "--model", model, ...inputs.slice(2, 4))).stdout;
      const scores = await Promise.all([
        scoresOf(checkpoint(1)),
        scoresOf(output),
        scoresOf(checkpoint(3)),
      ]);
      assert.notEqual(scores[0], scores[1]);
      assert.equal(scores[2], scores[1]);
    }));
}

Deno.test("a checkpoint of a model that has changed since is refused", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = inputFlags(await writeInputs(directory, 6));
    const output = `${directory}/run`;
    await runOk("train", ...inputs, ...FLAGS, "--output", output);
    const state = `${output}/checkpoints/step-2/state.json`;
    const text = await Deno.readTextFile(state);
    await Deno.writeTextFile(
      state,
      text.replace(/"source": "[^"]+"/, '"source": "fixtures/model"'),
    );
    const { code, stderr } = await run(
      "score",
      "--model",
      `${output}/checkpoints/step-2`,
      ...inputs.slice(2, 4),
    );
    assert.equal(code, 2);
    assert.match(stderr, /Cannot load .*step-2: expected fixtures\/model with the config that/);
  }));

Deno.test("frozen weights are those that the training had, or the checkpoint is refused", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = await writeInputs(directory, 6);
    const output = `${directory}/run`;
    const frozen = ["--train-layers", 1, "--head", "untied"];
    await runOk("train", ...inputFlags(inputs), ...FLAGS, ...frozen, "--output", output);
    const checkpoint = `${output}/checkpoints/step-3`;
    const score = () => run("score", "--model", checkpoint, "--dataset", inputs.pairs);
    const expected = await score();
    assert.equal(expected.code, 0, expected.stderr);

    await writeModel(inputs.model, {}, 7);
    const { code, stderr, stdout } = await score();
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(
      stderr,
      /Cannot load .*step-3: expected .*model with the weights that the training began with, SHA-256 [0-9a-f]{64}, found/,
    );
    await writeModel(inputs.model);
    assert.equal((await score()).stdout, expected.stdout);

    // As earlier versions wrote it: what cannot be verified is said.
    const state = JSON.parse(await Deno.readTextFile(`${checkpoint}/state.json`));
    state.fingerprint.model = state.source;
    await Deno.writeTextFile(`${checkpoint}/state.json`, JSON.stringify(state));
    const old = await score();
    assert.equal(old.stdout, expected.stdout);
    assert.match(old.stderr, /, unverified: the checkpoint does not say which weights it had/);
  }));
