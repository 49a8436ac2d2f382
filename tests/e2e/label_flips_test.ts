/** Labels that the reference doubts: the same whoever looks for them, and a GPU is used for nothing else. */
import assert from "node:assert/strict";
import type { Audit } from "../../src/data/audit.ts";
import { inTemporaryDirectory, jsonLines, run, runOk } from "./command.ts";

const NATURAL = "Happy to help! The quazzit likes to eat honey.";
const GIBBERISH = "honey to eat The quazzit! help likes";

/** Rows of which these have the worse answer as the chosen one. */
async function writeRows(path: string, count: number, flipped: readonly number[]): Promise<string> {
  const rows = Array.from({ length: count }, (_, i) => {
    const [chosen, rejected] = flipped.includes(i) ? [GIBBERISH, NATURAL] : [NATURAL, GIBBERISH];
    const prompt = [{ role: "user", content: `What should I feed ${i} quazzits?` }];
    const answer = (content: string) => [{ role: "assistant", content }];
    return JSON.stringify({ prompt, chosen: answer(chosen), rejected: answer(rejected) });
  });
  await Deno.writeTextFile(path, rows.join("\n"));
  return path;
}

Deno.test("inspect --audit --reference doubts the labels that eval doubts, in held-out data too", () =>
  inTemporaryDirectory(async (directory) => {
    const dataset = await writeRows(`${directory}/rows.jsonl`, 6, [1, 4]);
    const heldOut = await writeRows(`${directory}/held_out.jsonl`, 3, [2]);
    const reference = ["--reference", "fixtures/model"];
    const inspected = await runOk(
      ...["inspect", "--audit", "--dataset", dataset, "--eval-dataset", heldOut, "--json"] as const,
      ...reference,
    );
    const found = jsonLines<{ audit: Audit }>(inspected.stdout).map(({ audit }) => audit);
    for (const [i, path] of [dataset, heldOut].entries()) {
      const evaluated = await runOk("eval", "--dataset", path, "--json", ...reference);
      const { suspectedFlips } = (JSON.parse(evaluated.stdout) as { audit: Audit }).audit;
      assert.deepEqual(found[i].suspectedFlips, suspectedFlips);
    }
    assert.deepEqual(found[0].suspectedFlips?.rows.toSorted(), [1, 4]);
    assert.deepEqual(found[1].suspectedFlips, { count: 1, rows: [2], scored: 3 });

    const { stdout } = await runOk("inspect", "--audit", "--dataset", heldOut, ...reference);
    assert.match(stdout, /^ {2}suspected flips {11}1 {2}rows 2$/m);
  }));

Deno.test("inspect: a reference is for an audit, and a device for a reference", async () => {
  const shown = await run("inspect", "--reference", "fixtures/model");
  assert.match(shown.stderr, /Expected --reference only with --audit, found rows to show/);
  const idle = await run("inspect", "--audit", "--adapter", "list");
  assert.match(idle.stderr, /Expected --adapter only with a --reference/);
});

Deno.test("inspect: with its task's permissions, and no GPU without a reference", async () => {
  const inspect = async (...words: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-prompt", "-P=inspect", ...words],
      env: { NO_COLOR: "1" },
    }).output();
    return { code, said: new TextDecoder().decode(stderr) };
  };
  const audit = ["src/cli/main.ts", "inspect", "--audit", "--dataset", "fixtures/pairs/eval.jsonl"];
  const reference = ["--reference", "fixtures/model"];
  const scored = await inspect(...audit, ...reference);
  assert.equal(scored.code, 0, scored.said);
  // Looking for a GPU begins with this variable.
  const blind = "--deny-env=XDG_RUNTIME_DIR";
  assert.equal((await inspect(blind, ...audit)).code, 0);
  assert.match((await inspect(blind, ...audit, ...reference)).said, /XDG_RUNTIME_DIR/);
});
