import assert from "node:assert/strict";
import { inTemporaryDirectory, runOk } from "../e2e/command.ts";
import { writeModel, writePairs } from "../e2e/inputs.ts";
import { randomPairs } from "../model/small_models.ts";
import { unless } from "../skip.ts";

/** The files below a folder that this process has open; Deno itself may not look there. */
async function openFiles(folder: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("ls", { args: ["-l", `/proc/${Deno.pid}/fd`] })
    .output();
  const lines = new TextDecoder().decode(stdout).split("\n");
  return lines.map((line) => line.split(" -> ")[1] ?? "").filter((path) => path.startsWith(folder));
}

Deno.test({
  ...unless(
    Deno.build.os === "linux" ? null : "no /proc, which Linux has",
    "commands leave no file of their models open",
  ),
  fn: () =>
    inTemporaryDirectory(async (path) => {
      const model = await writeModel(`${path}/model`);
      using _known = await Deno.open(`${model}/config.json`);
      assert.deepEqual(await openFiles(model), [`${model}/config.json`], "open files are not seen");
      const pairs = await writePairs(`${path}/pairs.jsonl`, randomPairs(1, 2, 113, 30));
      const flags = ["--model", model, "--max-length", 64, "--dataset", pairs];
      const reference = ["--reference", model];
      await runOk("score", ...flags);
      await runOk("eval", ...flags, ...reference);
      await runOk("generate", "--model", model, "--prompt-ids", "1,2", "--max-new-tokens", 1);
      const output = ["--max-steps", 1, "--output", `${path}/run`];
      await runOk("train", ...flags, ...reference, ...output);
      assert.deepEqual(await openFiles(path), [`${model}/config.json`]);
    }),
});
