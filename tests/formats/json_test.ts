import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { describe, readJsonObject, refuseDuplicateKeys } from "../../src/formats/json.ts";
import { MemoryDirectory } from "./memory_directory.ts";

Deno.test("json: a file must be JSON and hold an object", async () => {
  const directory = new MemoryDirectory({ a: '{"x": 1}', b: "{", c: "[1]", d: "null" });
  assert.deepEqual(await readJsonObject(directory, "a"), { x: 1 });
  await assert.rejects(readJsonObject(directory, "b"), /memory\/b: expected JSON, found a mistake/);
  await assert.rejects(readJsonObject(directory, "c"), /JSON object, found a list of 1/);
  await assert.rejects(readJsonObject(directory, "d"), /JSON object, found null/);
});

Deno.test("json: duplicate keys are found whatever their spelling and depth, and nothing else is", () => {
  const duplicate = [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"x":{"k":1,"b":[{}],"k":2}}',
    '[{"__proto__":1,"__proto__":2}]',
    '{"a\\"":1,"a\\"":1}',
  ];
  for (const text of duplicate) assert.throws(() => refuseDuplicateKeys(text, "f"), UserError);
  const unique = [
    '{"a":{"a":{"a":[]}},"b":"a:a"}',
    '[{"a":1},{"a":1}]',
    '{"a":"}","b":"\\\\","c":"{\\"c\\":"}',
    `{"${"x".repeat(5e6)}":1}`,
  ];
  for (const text of unique) {
    JSON.parse(text);
    refuseDuplicateKeys(text, "f");
  }
});

Deno.test("json: values are described briefly", () => {
  assert.equal(describe("x".repeat(99)).length, 60);
  assert.equal(describe({}), "an object");
  assert.equal(describe(undefined), "nothing");
});
