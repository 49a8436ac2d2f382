/** The documents: short where they should be, and leading somewhere. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { type OptionName, OPTIONS } from "../src/config/options.ts";
import { kebabCase, specOf } from "../src/config/values.ts";

const paths = ["README.md", "CONTRIBUTING.md", "fixtures/README.md"];
for await (const { name } of Deno.readDir("docs")) paths.push(`docs/${name}`);
const texts = new Map(
  await Promise.all(paths.map(async (path) => [path, await Deno.readTextFile(path)] as const)),
);

Deno.test("the README has at most 150 lines", () => {
  const lines = texts.get("README.md")!.trimEnd().split("\n").length;
  assert.ok(lines <= 150, `${lines} lines`);
});

Deno.test("links within the repository lead to something", async () => {
  const broken: string[] = [];
  for (const [path, text] of texts) {
    for (const [, target, anchor] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
      const file = target === "" ? path : join(dirname(path), target);
      const found = await Deno.stat(file).catch(() => null);
      const anchors = Array.from(
        texts.get(file)?.matchAll(/^#+ (.*)$/gm) ?? [],
        ([, heading]) => heading.toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-"),
      );
      if (!found || anchor && !anchors.includes(anchor)) {
        broken.push(`${path}: ${target}#${anchor}`);
      }
    }
  }
  assert.deepEqual(broken, []);
});

Deno.test("options that the documents name exist", () => {
  const names = new Set<string>(["help", "task", "filter", "no-lock"]);
  for (const name of Object.keys(OPTIONS) as OptionName[]) {
    for (const each of [kebabCase(name), ...specOf(name).aliases ?? []]) {
      names.add(each).add(`no-${each}`);
    }
  }
  const unknown = [...texts].flatMap(([path, text]) =>
    Array.from(text.matchAll(/(?<![\w-])--([a-z][a-z0-9-]+)/g), ([, name]) => name)
      .filter((name) => !names.has(name) && !/^allow-/.test(name))
      .map((name) => `${path}: --${name}`)
  );
  assert.deepEqual(unknown, []);
});
