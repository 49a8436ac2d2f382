import assert from "node:assert/strict";
import { openModel } from "../../src/model/directory.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, readMetrics, writeInputs } from "./inputs.ts";

Deno.test("what is saved evaluates as what was trained", () =>
  inTemporaryDirectory(async (directory) => {
    const { model, pairs, heldOut } = await writeInputs(directory, 10);
    for (const head of ["tied", "untied", "frozen"]) {
      const output = `${directory}/${head}`;
      const part = head === "frozen" ? ["--no-train-embeddings"] : [];
      await runOk(
        "train",
        ...[...inputFlags({ model, pairs, heldOut }), "--output", output, "--head", head, ...part],
        ...["--learning-rate", 1e-3, "--max-length", 64],
      );
      const { step: _, ...expected } = (await readMetrics(output)).at(-1)!;
      const against = ["--reference", model, "--dataset", heldOut, "--max-length", 64, "--json"];
      const found = JSON.parse((await runOk("eval", "--model", output, ...against)).stdout);
      // An evaluation by itself draws no answers.
      const measured = Object.entries(expected).filter(([name]) => name in found);
      assert.ok(measured.length > 10);
      for (const [name, value] of measured) {
        assert.equal(found[name], value, `${head} head: ${name}`);
      }
      assert.notEqual(expected["eval_rewards/margins"], 0, "the run trained nothing");
    }
  }));

Deno.test("weights are saved in the number type that is asked for, and the configuration says so", () =>
  inTemporaryDirectory(async (directory) => {
    const inputs = inputFlags(await writeInputs(directory, 4));
    for (const [flag, dtype, name] of [["bf16", "BF16", "bfloat16"], ["f16", "F16", "float16"]]) {
      const output = `${directory}/${flag}`;
      const flags = ["--max-steps", 1, "--max-length", 64, "--save-dtype", flag];
      await runOk("train", ...inputs, "--output", output, ...flags);
      const source = await openModel(await openDirectory(output));
      source.close();
      const dtypes = new Set([...source.tensors.values()].map((tensor) => tensor.dtype));
      assert.deepEqual([...dtypes], [dtype]);
      assert.equal(source.config.raw.torch_dtype, name);
    }
  }));
