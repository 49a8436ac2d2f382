import assert from "node:assert/strict";
import { cardConfigs, chooseConfig } from "../../src/data/dataset_card.ts";
import { UserError } from "../../src/errors.ts";

const card = (yaml: string) => `---\n${yaml}---\n# A dataset\n---\nconfigs: none\n---\n`;
const configs = (yaml: string) => cardConfigs(card(yaml), "README.md");

Deno.test("dataset card: every way to name files", () => {
  const yaml = `
license: mit
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - {split: test, path: ["./data/test-*", "more/test.jsonl"]}
- config_name: plain
  data_files: "all.jsonl"
- config_name: by name
  data_dir: ./sub/
  data_files: {train: [a.jsonl], test: b.jsonl}
- config_name: 1.0
  data_dir: folder
`;
  assert.deepEqual(configs(yaml), [
    {
      name: "default",
      isDefault: true,
      folder: "",
      files: [
        { split: "train", pattern: "data/train-*" },
        { split: "test", pattern: "data/test-*" },
        { split: "test", pattern: "more/test.jsonl" },
      ],
    },
    {
      name: "plain",
      isDefault: false,
      folder: "",
      files: [{ split: "train", pattern: "all.jsonl" }],
    },
    {
      name: "by name",
      isDefault: false,
      folder: "sub/",
      files: [{ split: "train", pattern: "sub/a.jsonl" }, {
        split: "test",
        pattern: "sub/b.jsonl",
      }],
    },
    { name: "1", isDefault: false, folder: "folder/", files: null },
  ]);
});

Deno.test("dataset card: none, or one without configurations", () => {
  assert.deepEqual(cardConfigs("# Rows\n", "README.md"), []);
  assert.deepEqual(configs(""), []);
  assert.deepEqual(configs("license: mit\n"), []);
  assert.equal(chooseConfig([], null, "rows"), null);
});

Deno.test("dataset card: what is malformed says so, and aliases cannot grow without bound", () => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${
    Array.from({ length: 9 }, (_, i) => {
      const [name, last] = ["bcdefghij"[i], "abcdefghi"[i]];
      return `${name}: &${name} [${`*${last},`.repeat(9)}]\n`;
    }).join("")
  }configs: *j\n`;
  for (const yaml of ["configs: [\n", "configs: 3\n", "configs:\n- data_files: x\n", bomb]) {
    assert.throws(
      () => configs(yaml),
      (error) =>
        error instanceof UserError &&
        /^Cannot read the configurations in README\.md: /.test(error.message),
    );
  }
});

Deno.test("dataset card: the configuration that is meant", () => {
  const several = configs("configs:\n- config_name: a\n- {config_name: b, default: true}\n");
  assert.equal(chooseConfig(several, null, "rows")!.name, "b");
  assert.equal(chooseConfig(several, "a", "rows")!.name, "a");
  assert.throws(
    () => chooseConfig(several, "c", "rows"),
    /expected a configuration "c".*found a, b/,
  );
  const unclear = configs("configs:\n- config_name: a\n- config_name: b\n");
  assert.throws(() => chooseConfig(unclear, null, "rows"), /configurations a, b; choose one with/);
  assert.equal(chooseConfig(unclear.slice(1), null, "rows")!.name, "b");
  assert.throws(() => chooseConfig([], "a", "rows"), /"a" in its card, found none/);
});
