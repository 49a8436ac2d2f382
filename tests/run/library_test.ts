import assert from "node:assert/strict";
import { resolve } from "node:path";
import { generate, type Given, score, sweep, train, UserError } from "../../src/mod.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";

Deno.test("a program of a dozen lines aligns the shipped model", () =>
  inTemporaryDirectory(async (path) => {
    const program = resolve("tests/run/library_example.ts");
    await Deno.symlink(resolve("fixtures"), `${path}/fixtures`);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-prompt", "--config", resolve("deno.json"), "-P=train", program],
      cwd: path,
    }).output();
    const [said, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 0, errors);
    const [, before, after] = /^before: (.+?)$.*^after: (.+?)$/ms.exec(said)!;
    assert.equal(before, "Berries.");
    assert.match(after, /^Good question!/);
    assert.equal(said.match(/^step \d+: 0\.6/gm)?.length, 12);
    const [run] = await Array.fromAsync(Deno.readDir(`${path}/runs`));
    const metrics = await Deno.readTextFile(`${path}/runs/${run.name}/metrics.jsonl`);
    const last = JSON.parse(metrics.trimEnd().split("\n").at(-1)!);
    assert.equal(last["eval_rewards/accuracies"], 1);
    const record = JSON.parse(await Deno.readTextFile(`${path}/runs/${run.name}/run.json`));
    assert.equal(record.options.maxSteps, 12);
    assert.equal(record.origins.maxSteps.source, "flag");
  }));

Deno.test("the README has the same program", async () => {
  const program = await Deno.readTextFile("tests/run/library_example.ts");
  assert.ok((await Deno.readTextFile("README.md")).includes(program));
});

Deno.test("a program's mistakes are the user's errors, as on the command line", async () => {
  await assert.rejects(
    async () => await train({ betta: 1 } as Given<"train">),
    (error) => error instanceof UserError && /--betta: did you mean --beta\?/.test(error.message),
  );
  await assert.rejects(generate({}), /Expected a prompt or promptIds to continue, found neither/);
  await assert.rejects(score({ dataset: "nowhere.jsonl" }), /nowhere\.jsonl/);
});

Deno.test("a sweep tells which run its events are of, and a dry one plans all and leaves nothing", () =>
  inTemporaryDirectory(async (path) => {
    const output = `${path}/sweep`;
    const told: string[] = [];
    const swept = await sweep(
      {
        grid: "beta=0.1,0.5",
        maxPairs: 8,
        evalDataset: "fixtures/pairs/eval.jsonl[:2]",
        dryRun: true,
        output,
      },
      {
        onEvent(event) {
          if (event.type === "begun") told.push(`${event.run}/${event.runs} ${event.name}`);
          if (event.type !== "planned") return;
          if ("beta" in event.plan.options) told.push(`beta ${event.plan.options.beta}`);
        },
      },
    );
    assert.deepEqual(told, ["1/2 beta-0.1", "beta 0.1", "2/2 beta-0.5", "beta 0.5"]);
    assert.deepEqual(swept, { output, runs: [], finished: false });
    assert.equal(await Deno.stat(output).catch(() => null), null);
    await assert.rejects(
      sweep({ grid: "beta=0.1", output, pushToHub: true, hubModelId: "me/mine" }),
      (error) => error instanceof UserError && /without --push-to-hub/.test(error.message),
    );
  }));
