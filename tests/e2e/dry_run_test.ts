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

Deno.test("a plan names pairs of ranked rows, margins, weights and answers that outweigh others", () =>
  inTemporaryDirectory(async (directory) => {
    const plan = async (rows: Record<string, unknown>[], ...flags: string[]) => {
      const dataset = `${directory}/rows.jsonl`;
      await Deno.writeTextFile(dataset, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      const words = ["--model", "fixtures/model", "--dataset", dataset, "--dry-run"];
      return (await runOk("train", ...words, ...flags, "--verbose")).stderr;
    };
    const ranked = { prompt: "q", generations: ["a", "b", "c"], ratings: [3, 2, 2] };
    const several = await plan([ranked, { ...ranked, margin: 1 }], "--ranked-pairs", "best-all");
    assert.match(
      several,
      /: 4 of 4 pairs of 2 rows, 1 rows with a margin, 2 rows with more than two/,
    );
    assert.match(several, /^format .*best against all, with margin$/m);
    assert.match(several, /^steps +1, 4 pairs each$/m);
    const answers = [true, true, true, false].map((label) => ({
      prompt: "q",
      completion: "a",
      label,
    }));
    const lopsided = await plan(answers, "--loss-type", "kto");
    assert.match(lopsided, /: 4 of 4 answers/);
    assert.match(lopsided, /3 of 4 answers are good/);
    assert.match(lopsided, /^unusual .* 3 times as much .* --desirable-weight 0\.333 to 0\.444$/m);
    const balanced = await plan(answers, "--loss-type", "kto", "--undesirable-weight", "3");
    assert.doesNotMatch(balanced, /^unusual/m);
  }));
