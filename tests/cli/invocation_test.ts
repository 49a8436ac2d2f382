import assert from "node:assert/strict";
import { invocation } from "../../src/cli/invocation.ts";

Deno.test("commands to copy begin as this one did", () => {
  const { deno } = Deno.version;
  assert.equal(invocation("/root/.npm/_npx/7a40/node_modules/deno/deno"), `npx -y deno@${deno}`);
  assert.equal(invocation("C:\\Users\\a\\_npx\\7a\\deno.exe"), `npx -y deno@${deno}`);
  assert.equal(invocation("/usr/local/bin/deno"), "deno");
});
