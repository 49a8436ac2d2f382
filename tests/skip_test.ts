import assert from "node:assert/strict";
import { skippedTable } from "./run.ts";
import { lackIn, unless } from "./skip.ts";

Deno.test("the reason that a test is skipped for is in its name", () => {
  assert.deepEqual(unless(null, "works"), { name: "works", ignore: false });
  const skipped = unless('"llvmpipe (LLVM 15)" lacks f16', "works");
  assert.equal(skipped.ignore, true);
  assert.equal(lackIn(skipped.name), '"llvmpipe (LLVM 15)" lacks f16');
  assert.equal(lackIn("an overflow that is skipped"), null);
});

Deno.test("the last table counts what was skipped by its reason, and says how to run it", () => {
  const missing = "No module named &apos;trl&apos;";
  const junit = `<testsuite>
    <testcase name="fine" classname="a" time="0.1" line="1" col="6">
    </testcase>
    <testcase name="curve (skipped: ${missing})" classname="a" line="1">
        <skipped/>
    </testcase>
    <testcase name="steps (skipped: ${missing})" classname="b" line="2"><skipped/></testcase>
    <testcase name="page (skipped: no /usr/bin/chromium)" classname="c"><skipped/></testcase>
  </testsuite>`;
  assert.equal(
    skippedTable(junit),
    "\n" +
      "skipped  because of             to run them\n" +
      "      2  No module named 'trl'  pip install -r tests/peers.txt (see .ci/run)\n" +
      "      1  no /usr/bin/chromium   apt install chromium\n",
  );
  assert.equal(skippedTable("<testsuite></testsuite>"), "");
});

Deno.test("no test is skipped without its reason", async () => {
  const silent: string[] = [];
  const look = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const path = `${folder}/${name}`;
      if (isDirectory) await look(path);
      else if (name.endsWith(".ts") && !/^tests\/skip(_test)?\.ts$/.test(path)) {
        const text = await Deno.readTextFile(path);
        if (/\bignore:|Deno\.test\.ignore|console\.log\([`"']\s*skipped/.test(text)) {
          silent.push(path);
        }
      }
    }
  };
  await look("tests");
  assert.deepEqual(silent, [], "expected unless() of tests/skip.ts in place of ignore");
});
