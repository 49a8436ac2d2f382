import assert from "node:assert/strict";
import { inTemporaryDirectory, jsonLines, run, runOk } from "./command.ts";
import { readModel } from "./inputs.ts";

const TRAIN = [
  ...["--max-pairs", 8, "--per-device-train-batch-size", 4, "--max-length", 96],
  ...["--eval-dataset", "fixtures/pairs/eval.jsonl[:4]", "--learning-rate", 1e-4],
];
const GRID = ["--grid", "beta=0.05,0.5"];

Deno.test("a sweep trains each combination as train does, goes on where it ended, and compares", () =>
  inTemporaryDirectory(async (directory) => {
    const output = `${directory}/sweep`;
    const sweep = (...flags: string[]) =>
      runOk("sweep", ...GRID, ...TRAIN, "--output", output, ...flags);
    const printed = (await sweep("--print")).stdout.trimEnd().split("\n");
    assert.equal(printed.length, 2);
    assert.match(printed[1], /^deno task train .*--output \S+\/beta-0\.5 --beta 0\.5/);

    const swept = jsonLines<{ name: string; measures: Record<string, number> }>(
      (await sweep("--json")).stdout,
    );
    assert.deepEqual(swept.map(({ name }) => name), ["beta-0.05", "beta-0.5"]);
    assert.ok(swept[1].measures["rewards/margins"] > swept[0].measures["rewards/margins"]);
    await runOk("train", ...TRAIN, "--beta", 0.5, "--output", `${directory}/alone`);
    assert.deepEqual(await readModel(`${output}/beta-0.5`), await readModel(`${directory}/alone`));
    const page = await Deno.readTextFile(`${output}/sweep.html`);
    assert.match(page, /<a href="beta-0\.5\/report\.html">/);
    assert.match(page, /<h2>Over beta<\/h2>/);
    assert.match(page, /<svg/);

    // One of them is gone, the other is not trained again.
    await Deno.remove(`${output}/beta-0.05`, { recursive: true });
    const { stderr } = await sweep();
    assert.match(stderr, /1 of 2: beta-0\.05\n/);
    assert.match(stderr, /2 of 2: beta-0\.5, is there already\n/);
  }));

Deno.test("a sweep with a combination that cannot be begins with no run", () =>
  inTemporaryDirectory(async (directory) => {
    const output = `${directory}/sweep`;
    const { code, stderr } = await run(
      "sweep",
      "--grid",
      "beta=0.1,-1",
      ...TRAIN,
      "--output",
      output,
    );
    assert.equal(code, 2);
    assert.match(stderr, /--beta to be a number above 0, found "-1"/);
    assert.equal(await Deno.stat(output).catch(() => null), null);
  }));
