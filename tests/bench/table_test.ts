import assert from "node:assert/strict";
import { table } from "../../src/bench/table.ts";

Deno.test("a table aligns words to the left, numbers to the right, and shows what is missing", () => {
  const rows = [{ name: "a", ms: 1234.5 }, { name: "longer", ms: null }];
  assert.equal(
    table(rows, [
      { head: "name", cell: ({ name }) => name },
      { head: "ms", cell: ({ ms }) => ms, digits: 1 },
    ]),
    "name         ms\n" +
      "a       1,234.5\n" +
      "longer        -\n",
  );
});
