import assert from "node:assert/strict";
import { filesOfPattern, listFiles, matchesPattern } from "../../src/platform/glob.ts";
import { UserError } from "../../src/errors.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";

Deno.test("patterns: a star stops at slashes, two do not", () => {
  const fits = (pattern: string) =>
    ["a.json", "x/a.json", "x/y/a.json", "x/.a.json"].filter((path) =>
      matchesPattern(path, pattern)
    );
  assert.deepEqual(fits("*.json"), ["a.json"]);
  assert.deepEqual(fits("x/*"), ["x/a.json"]);
  assert.deepEqual(fits("**/*.json"), ["a.json", "x/a.json", "x/y/a.json"]);
  assert.deepEqual(fits("x/?.json"), ["x/a.json"]);
});

Deno.test("patterns: files below the part that is plain, as far down as the pattern goes", () =>
  inTemporaryDirectory(async (path) => {
    for (const folder of ["a/b/c", "a/.hidden", "[d]"]) {
      await Deno.mkdir(`${path}/${folder}`, { recursive: true });
    }
    const files = ["a/1.x", "a/2.y", "a/b/3.x", "a/b/c/4.x", "a/.hidden/5.x", "a/.6.x", "[d]/7.x"];
    for (const file of files) await Deno.writeTextFile(`${path}/${file}`, "");
    const found = async (pattern: string) =>
      (await filesOfPattern(`${path}/${pattern}`)).map((file) => file.slice(path.length + 1))
        .sort();
    assert.deepEqual(await found("a/*.x"), ["a/1.x"]);
    assert.deepEqual(await found("a/*/*.x"), ["a/b/3.x"]);
    assert.deepEqual(await found("a/**/*.x"), ["a/1.x", "a/b/3.x", "a/b/c/4.x"]);
    assert.deepEqual(await found("?/2.*"), ["a/2.y"]);
    assert.deepEqual(await found("[d]/*"), ["[d]/7.x"], "plain parts are no patterns");
    assert.deepEqual(await found("a/*.z"), []);
    assert.deepEqual((await listFiles(`${path}/a`, 1)).sort(), ["1.x", "2.y"]);
    await assert.rejects(found("none/*"), UserError);
  }));

Deno.test("patterns: in the folder of the process, with the permissions of a task", async () => {
  assert.deepEqual(await filesOfPattern("fixtures/pairs/e*.jsonl"), ["fixtures/pairs/eval.jsonl"]);
  assert.ok((await filesOfPattern("d*.json")).includes("deno.json"));
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-q", "--no-prompt", "-P=inspect", "src/cli/main.ts", "inspect", "--rows", "1"],
      ...["--dataset", "fixtures/pairs/e*.jsonl"],
    ],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
});
