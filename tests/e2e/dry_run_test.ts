import assert from "node:assert/strict";
import { inTemporaryDirectory, runOk } from "./command.ts";

Deno.test("a dry run shows the plan of the run, and writes nothing", () =>
  inTemporaryDirectory(async (directory) => {
    for (
      const [command, ...flags] of [["train"], [
        "sft",
        "--dataset",
        "fixtures/text/train.jsonl.gz",
        "--model",
        "fixtures/model",
      ]]
    ) {
      const output = `${directory}/${command}`;
      const { stdout, stderr } = await runOk(command, ...flags, "--dry-run", "--output", output);
      for (const line of [/^model +fixtures\/model/m, /^memory +\d+ MiB/m, /^steps +\d+/m]) {
        assert.match(stderr, line);
      }
      assert.match(stderr, /dry run +nothing was trained\n$/);
      assert.equal(stdout, "");
      assert.deepEqual(await Array.fromAsync(Deno.readDir(directory)), []);
    }
  }));
