import assert from "node:assert/strict";
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
      for (const [name, value] of Object.entries(expected)) {
        assert.equal(found[name], value, `${head} head: ${name}`);
      }
      assert.notEqual(expected["eval_rewards/margins"], 0, "the run trained nothing");
    }
  }));
