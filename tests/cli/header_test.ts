import assert from "node:assert/strict";
import { Header, invocation } from "../../src/cli/header.ts";
import { MemoryOutput } from "./output.ts";

Deno.test("a header says its details to those who ask, and keeps them all", () => {
  for (const verbose of [false, true]) {
    const output = new MemoryOutput();
    const header = new Header(verbose, output);
    header.say("device");
    header.detail("engine");
    assert.equal(output.text, verbose ? "device\nengine\n" : "device\n");
    assert.deepEqual(header.lines, ["device", "engine"]);
  }
});

Deno.test("commands to copy begin as this one did", () => {
  const { deno } = Deno.version;
  assert.equal(invocation("/root/.npm/_npx/7a40/node_modules/deno/deno"), `npx -y deno@${deno}`);
  assert.equal(invocation("C:\\Users\\a\\_npx\\7a\\deno.exe"), `npx -y deno@${deno}`);
  assert.equal(invocation("/usr/local/bin/deno"), "deno");
});
