/** No change of shaders or of their order goes unnoticed; see record.ts. */
import assert from "node:assert/strict";
import { everyShader, record } from "./record.ts";

const RENEW = "deno run -P=test tests/recorded/record.ts";

Deno.test("kernels and the order of commands are the recorded ones", async () => {
  for (const [name, text] of await record()) {
    const expected = await Deno.readTextFile(new URL(name, import.meta.url));
    if (text !== expected) assert.fail(difference(name, text.split("\n"), expected.split("\n")));
  }
});

const SHADERS = new URL("../../shaders/", import.meta.url);
/** What stands behind kernels that use it, and is none. */
const PARTS = [
  "attention_tile",
  "lane_broadcast",
  "lane_head",
  "lane_operands",
  "lane_product",
  "lane_row",
  "lane_rows",
  "reduce",
  "reduce_lanes",
  "reduce_subgroup",
  "rotated_head",
  "texel",
  "tile_product",
];

Deno.test("the recorded work runs every kernel", async () => {
  const files = (await Array.fromAsync(Deno.readDir(SHADERS))).map(({ name }) => name)
    .filter((name) => name.endsWith(".wgsl")).map((name) => name.replace(".wgsl", ""));
  const ran = new Set((await everyShader("deno")).map(([variant]) => variant.split(" ")[0]));
  assert.deepEqual([...ran, ...PARTS].sort(), files.sort());
});

function difference(name: string, found: string[], expected: string[]): string {
  const line = expected.findIndex((text, i) => text !== found[i]);
  const at = line < 0 ? expected.length : line;
  const [lost, added] = [without(expected, found), without(found, expected)];
  return [
    `tests/recorded/${name}, line ${at + 1}:`,
    `expected ${expected[at] ?? "the end"}`,
    `found    ${found[at] ?? "the end"}`,
    `(in all, ${lost} recorded lines are gone, ${added} are new).`,
    `Is the change on purpose? Then write the files anew and read their diff: ${RENEW}`,
  ].join("\n");
}

/** Lines of a text that another one has not, however often it has the same one. */
function without(lines: string[], others: string[]): number {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  }).length;
}
