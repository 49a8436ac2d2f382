/** The documents: short where they should be, and leading somewhere. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { load } from "js-yaml";
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
  const othersToo = "docs/clusters.md"; // options of Slurm and SkyPilot are in it
  const unknown = [...texts].filter(([path]) => path !== othersToo).flatMap(([path, text]) =>
    Array.from(text.matchAll(/(?<![\w-])--([a-z][a-z0-9-]+)/g), ([, name]) => name)
      .filter((name) => !names.has(name) && !/^allow-/.test(name))
      .map((name) => `${path}: --${name}`)
  );
  assert.deepEqual(unknown, []);
});

Deno.test("the documents on training and data name every option of train", () => {
  const text = ["docs/training.md", "docs/data.md"].map((path) => texts.get(path)).join();
  const unnamed = (Object.keys(OPTIONS) as OptionName[])
    .filter((name) => (specOf(name).commands as readonly string[]).includes("train"))
    .map(kebabCase)
    .filter((name) => !new RegExp(`--(no-)?${name}(?![\\w-])`).test(text));
  assert.deepEqual(unnamed, []);
});

Deno.test("what the documents give to clusters parses, and takes a line of runs.txt each", async () => {
  const text = texts.get("docs/clusters.md")!;
  const blocks = (language: string) =>
    Array.from(
      text.matchAll(new RegExp("```" + language + "\\n([^]*?)```", "g")),
      ([, block]) => block,
    );
  const [job, sky, agent] = blocks("yaml").map((block) => load(block) as Record<string, unknown>);
  const { spec } = job as {
    spec: { completions: number; template: { spec: { containers: { args: string[] }[] } } };
  };
  const scripts = [...blocks("bash"), spec.template.spec.containers[0].args[0], sky.run as string];
  assert.equal(scripts.length, 3);
  for (const script of scripts) {
    assert.match(script, /sed -n .*p" runs\.txt/);
    const { code } = await new Deno.Command("bash", { args: ["-n", "-c", script] }).output();
    assert.equal(code, 0, script);
  }
  const values = (agent as { parameters: { beta: { values: number[] } } }).parameters.beta.values;
  assert.equal(values.length, spec.completions);
  assert.match(text, new RegExp(`--grid 'beta=${values}'`));
  assert.match(text, new RegExp(`--array=1-${values.length}$`, "m"));
});
