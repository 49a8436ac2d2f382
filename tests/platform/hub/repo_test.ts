import assert from "node:assert/strict";
import type { RepoListing } from "../../../src/platform/hub/listing.ts";
import { parseRepo, repoId } from "../../../src/platform/hub/repo.ts";
import { neededFiles } from "../../../src/platform/hub/selection.ts";

Deno.test("hub: names of repositories, with and without a revision", () => {
  assert.deepEqual(parseRepo("model", "HuggingFaceTB/SmolLM-135M"), {
    type: "model",
    name: "HuggingFaceTB/SmolLM-135M",
    revision: "main",
  });
  for (const id of ["a/b", "a/b@v1.0", "a/b@refs/pr/1", "a_1/b.c-d@0123abc"]) {
    assert.equal(repoId(parseRepo("dataset", id)!), id);
  }
  const others = [
    ...["", "a", "/a/b", "a/b/c", "../b", "a/..", "a/.b", "a/b--c", "a/b@", "a/b@../c", "a/b@/c"],
    ...["a/b@c/..", "a/b@c//d", "a b/c", "a\\b", "./a/b", "a/b@c@d", "-a/b", "a/b\n"],
  ];
  for (const id of others) assert.equal(parseRepo("model", id), null, JSON.stringify(id));
});

const pick = (type: "model" | "dataset", paths: string[], include: string | null = null) => {
  const files = paths.map((path) => ({ path, sizeBytes: 1, hash: "" }));
  const listing: RepoListing = { repo: parseRepo(type, "a/b")!, commit: "", files };
  return neededFiles(listing, include).map(({ path }) => path);
};

Deno.test("hub: of a model, one set of weights with what belongs to it", () => {
  const small = ["config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"];
  const others = [".gitattributes", "README.md", "onnx/model.onnx", "flax_model.msgpack"];
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const index = "model.safetensors.index.json";
  const all = [...others, ...small, "pytorch_model.bin", "runs/config.json"];
  assert.deepEqual(pick("model", [...all, "model.safetensors"]), [...small, "model.safetensors"]);
  assert.deepEqual(pick("model", [...all, ...shards, index]), [...small, ...shards, index]);
  assert.deepEqual(pick("model", all), [...small, "pytorch_model.bin"]);
  assert.deepEqual(pick("model", all, "*.bin"), ["pytorch_model.bin"]);
  assert.throws(
    () => pick("model", others),
    /expected weights in safetensors or PyTorch files, found/,
  );
});

Deno.test("hub: of a dataset, its rows and its card", () => {
  const rows = ["data/train-0.parquet", "a/test.jsonl.gz", "b.json"];
  const others = [".gitattributes", "README.md", "dataset_infos.json", "a/.x.json", "p.png"];
  assert.deepEqual(pick("dataset", [...others, ...rows]), ["README.md", ...rows]);
  assert.deepEqual(pick("dataset", ["README.md", ...rows], "b*"), ["README.md", "b.json"]);
  assert.throws(() => pick("dataset", others), /expected JSON or Parquet files, found/);
  assert.deepEqual(pick("dataset", rows, "data/*"), ["data/train-0.parquet"]);
  assert.throws(() => pick("dataset", rows, "c*"), /files that match c\*, found data\/train-0/);
});
