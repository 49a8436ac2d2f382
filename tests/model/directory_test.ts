import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { type NamedTensor, serializeSafetensors } from "../../src/formats/safetensors.ts";
import { openModel, type OpenModelOptions } from "../../src/model/directory.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { collect, MemoryDirectory } from "../formats/memory_directory.ts";
import { torchFile, type TorchTensor } from "../formats/torch_files.ts";
import { EMBEDDING, fill, raw, untied } from "./stored_models.ts";
import { GOLDEN, GOLDEN_CASES } from "../e2e/golden.ts";

async function directory(tensors: NamedTensor[], config: unknown = raw): Promise<MemoryDirectory> {
  return new MemoryDirectory({
    "config.json": JSON.stringify(config),
    "model.safetensors": await collect(serializeSafetensors(tensors)),
  });
}

async function sharded(
  shards: Record<string, NamedTensor[]>,
  changes: Record<string, unknown> = {},
): Promise<MemoryDirectory> {
  const map: Record<string, unknown> = {};
  const result = new MemoryDirectory({ "config.json": JSON.stringify(raw) });
  for (const [file, tensors] of Object.entries(shards)) {
    await result.write(file, serializeSafetensors(tensors));
    for (const { name } of tensors) map[name] = file;
  }
  const index = JSON.stringify({ weight_map: { ...map, ...changes } });
  await result.writeText("model.safetensors.index.json", index);
  return result;
}

async function rejects(
  folder: MemoryDirectory,
  message: RegExp,
  options?: OpenModelOptions,
): Promise<void> {
  await assert.rejects(openModel(folder, options), (error) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, message);
    return true;
  });
  assert.equal(folder.openFiles, 0, "every file is closed again");
}

Deno.test("model directory: shards", async () => {
  const tensors = fill();
  const folder = await sharded({
    "model-00001-of-00002.safetensors": tensors.slice(0, 5),
    "model-00002-of-00002.safetensors": tensors.slice(5),
  });
  const source = await openModel(folder);
  for (const { name, data } of tensors) assert.deepEqual(await source.readFloat32(name), data);
  source.close();
  assert.equal(folder.openFiles, 0);
});

Deno.test("model directory: hostile and broken shard indexes", async () => {
  const tensors = fill();
  const shards = { "a.safetensors": tensors.slice(0, 5), "b.safetensors": tensors.slice(5) };
  for (
    const file of [
      "../a.safetensors",
      "/a.safetensors",
      "x/a.safetensors",
      "x\\a.safetensors",
      "..",
      7,
    ]
  ) {
    await rejects(
      await sharded(shards, { [EMBEDDING]: file }),
      /name of a .safetensors file beside/,
    );
  }
  await rejects(
    await sharded(shards, { [EMBEDDING]: "c.safetensors" }),
    /"model.embed_tokens.weight"|c.safetensors/,
  );
  const folder = await sharded(shards);
  await folder.writeText("model.safetensors.index.json", '{"weight_map": []}');
  await rejects(folder, /"weight_map" to be an object/);
});

Deno.test("model directory: an index that names more or less than the shards hold", async () => {
  const tensors = fill();
  const halves = [tensors.slice(0, 5), tensors.slice(5)];
  const shards = { "a.safetensors": halves[0], "b.safetensors": halves[1] };
  const check = async (folder: MemoryDirectory, notes: string[] = []) => {
    const source = await openModel(folder);
    assert.deepEqual(source.notes, notes);
    for (const { name, data } of tensors) assert.deepEqual(await source.readFloat32(name), data);
    source.close();
    assert.equal(folder.openFiles, 0);
  };
  await check(await sharded(shards, { "lm_head.weight": "b.safetensors" }), [
    "model.safetensors.index.json names lm_head.weight, which no file holds",
  ]);
  await check(await sharded(shards, { [EMBEDDING]: "b.safetensors" }));
  const part = await sharded(shards);
  const index = { [EMBEDDING]: "a.safetensors", "model.norm.weight": "./b.safetensors" };
  await part.writeText("model.safetensors.index.json", JSON.stringify({ weight_map: index }));
  await check(part);
  // Where two files have a tensor, the index says which one counts.
  const changed = [{ ...tensors[0], data: new Float32Array(tensors[0].data.length) }];
  const twice = { ...shards, "a (1)+é.safetensors": changed };
  await check(await sharded(twice, { [EMBEDDING]: "a.safetensors", x: "a (1)+é.safetensors" }), [
    "model.safetensors.index.json names x, which no file holds",
  ]);
  const unsaid = await sharded(twice);
  const said = JSON.parse(await unsaid.readText("model.safetensors.index.json"));
  delete said.weight_map[EMBEDDING];
  said.weight_map.x = "a (1)+é.safetensors";
  await unsaid.writeText("model.safetensors.index.json", JSON.stringify(said));
  await rejects(unsaid, /expected it in one file, found it in/);
});

Deno.test("model directory: the only name of tied or shared tensors may be another", async () => {
  const tensors = fill();
  const check = async (folder: MemoryDirectory, options: OpenModelOptions, notes: RegExp) => {
    const source = await openModel(folder, options);
    assert.match(source.notes.join("\n"), notes);
    for (const { name, data } of tensors) assert.deepEqual(await source.readFloat32(name), data);
    assert.deepEqual([...source.tensors.keys()].sort(), tensors.map(({ name }) => name).sort());
    source.close();
  };
  // The embedding under the name of the head, within wrappers
  const headed = tensors.map((tensor) =>
    tensor.name === EMBEDDING ? { ...tensor, name: "lm_head.weight" } : tensor
  );
  await check(await directory(headed), {}, /^lm_head.weight as model.embed_tokens.weight too/);
  const wrapped = headed.map((tensor) => ({
    ...tensor,
    name: `module.${tensor.name.replace(/(layers\.\d+\.)/, "$1_orig_mod.")}`,
  }));
  await check(await directory(wrapped), {}, /module\.model\.\* as model\.\*/);
  // A module that is known by two names
  const config = JSON.stringify(raw);
  const names = tensors.flatMap((tensor) => [tensor, { ...tensor, name: `net.${tensor.name}` }]);
  const bytes = pickled(names);
  await check(
    new MemoryDirectory({ "config.json": config, "x.pth": bytes }),
    { file: "x.pth" },
    /net\.model\.\* is model\.\* by another name/,
  );
  // The embedding alone, and one layer within a wrapper too
  const more = tensors.flatMap((tensor) => [
    tensor,
    ...tensor.name === EMBEDDING ? [{ ...tensor, name: "embed_tokens.weight" }] : [],
    ...tensor.name.includes("layers.1.")
      ? [{ ...tensor, name: tensor.name.replace("layers.1.", "layers.1._orig_mod.") }]
      : [],
  ]);
  await check(
    new MemoryDirectory({ "config.json": config, "x.pth": pickled(more) }),
    { file: "x.pth" },
    /reading names without _orig_mod/,
  );
});

Deno.test("model directory: adapters are refused with what to do", async () => {
  const adapter = JSON.stringify({ peft_type: "LORA", base_model_name_or_path: "org/base" });
  const alone = new MemoryDirectory({
    "adapter_config.json": adapter,
    "adapter_model.safetensors": "",
  });
  const refusal =
    /expected a whole model, found an adapter of org\/base .*: name its folder, and no --config-from/;
  await rejects(alone, refusal);
  await rejects(alone, refusal, { file: "adapter_model.safetensors" });
  const beside = await directory(fill());
  await beside.writeText("adapter_config.json", adapter);
  await rejects(beside, refusal);
  (await openModel(beside, { file: "model.safetensors" })).close();
});

Deno.test("model directory: tables of the rotary embedding are left out", async () => {
  const tables = ["rotary_emb.inv_freq", "rotary_emb.cos_cached", "freqs_cis"];
  const more = tables.map((name) => ({
    name: `model.layers.0.${name}`,
    shape: [2],
    data: new Float32Array(2),
  }));
  (await openModel(await directory([...fill(), ...more]))).close();
});

Deno.test("model directory: missing files are named", async () => {
  await rejects(new MemoryDirectory(), /config.json/);
  const elsewhere = new MemoryDirectory({ "config.json": JSON.stringify(raw), "x.pth": "" });
  await rejects(
    elsewhere,
    /expected model.safetensors.*pytorch_model.bin, found config.json, x.pth; a file of weights/,
  );
});

Deno.test("model directory: weights must fit the configuration", async () => {
  const tensors = fill();
  const renamed = tensors.map((tensor) =>
    tensor.name === EMBEDDING ? { ...tensor, shape: [16, 11] } : tensor
  );
  await rejects(
    await directory(renamed),
    /Cannot load "model.embed_tokens.weight": expected shape \(11, 16\), found \(16, 11\)/,
  );
  await rejects(
    await directory(tensors.filter(({ name }) => name !== "model.norm.weight")),
    /Cannot load "model.norm.weight": expected shape \(16\), found no such tensor/,
  );
  await rejects(
    await directory([...tensors, {
      name: "model.layers.2.mlp.bias",
      shape: [1],
      data: new Float32Array(1),
    }]),
    /found tensor "model.layers.2.mlp.bias"/,
  );
  await rejects(
    await directory(tensors, { ...raw, tie_word_embeddings: false }),
    /Cannot load "lm_head.weight"/,
  );
  const inverse = {
    name: "model.layers.0.self_attn.rotary_emb.inv_freq",
    shape: [1],
    data: new Float32Array(1),
  };
  const source = await openModel(await directory([...tensors, inverse]));
  assert.ok(!source.tensors.has(inverse.name));
  source.close();
});

Deno.test("model directory: a tied model's stored head must be the embedding", async () => {
  const tensors = fill();
  const embedding = tensors.find(({ name }) => name === EMBEDDING)!;
  const head = { ...embedding, name: "lm_head.weight" };
  const source = await openModel(await directory([...tensors, head]));
  assert.ok(!source.tensors.has("lm_head.weight"));
  source.close();
  const other = { ...head, data: head.data.with(40, 99) };
  await rejects(await directory([...tensors, other]), /"tie_word_embeddings": true, found another/);
});

Deno.test("model directory: the golden models open", async (test) => {
  for (const name of GOLDEN_CASES) {
    await test.step(name, async () => {
      const source = await openModel(await openDirectory(`${GOLDEN}/${name}/model`));
      const expected = JSON.parse(await Deno.readTextFile(`${GOLDEN}/${name}/expected.json`));
      let parameters = 0;
      for (const tensor of source.tensors.keys()) {
        parameters += (await source.readFloat32(tensor)).length;
      }
      assert.equal(parameters, expected.parameters);
      source.close();
    });
  }
});

/** A PyTorch file of the tensors, under other names. */
function pickled(
  tensors: NamedTensor[],
  { rename = (name: string) => name, wrapper = null as string | null } = {},
): Uint8Array<ArrayBuffer> {
  const views: Record<string, TorchTensor> = {};
  const storages: Record<string, Float32Array> = {};
  for (const { name, shape, data } of tensors) {
    // A head that is the same array is a view of the same storage.
    const key = Object.keys(storages).find((key) => storages[key] === data) ?? name;
    storages[key] = data as Float32Array;
    views[rename(name)] = { shape: [...shape], key };
  }
  return torchFile(views, storages, { wrapper });
}

Deno.test("model directory: PyTorch files, single, sharded and named, under the usual prefixes", async () => {
  const tensors = fill();
  const config = JSON.stringify(raw);
  const check = async (folder: MemoryDirectory, options: OpenModelOptions, notes: RegExp) => {
    const source = await openModel(folder, options);
    for (const { name, data } of tensors) assert.deepEqual(await source.readFloat32(name), data);
    assert.match(source.notes.join("\n"), notes);
    source.close();
    assert.equal(folder.openFiles, 0);
  };
  await check(
    new MemoryDirectory({ "config.json": config, "pytorch_model.bin": pickled(tensors) }),
    {},
    /^20 tensors of PyTorch in memory\/pytorch_model.bin$/,
  );
  for (
    const [prefix, rule] of [
      ["module.", "module.model.* as model.*"],
      ["model.", "model.model.* as model.*"],
      ["module._orig_mod.", "module._orig_mod.model.* as model.*"],
    ]
  ) {
    const bytes = pickled(tensors, { rename: (name) => prefix + name, wrapper: "state_dict" });
    await check(
      new MemoryDirectory({ "config.json": config, "x.pth": bytes }),
      { file: "x.pth" },
      new RegExp(
        `under "state_dict" in memory/x.pth\nreading ${rule.replaceAll(/[.*]/g, "\\$&")}$`,
      ),
    );
  }
  const bare = pickled(tensors, { rename: (name) => name.replace(/^model\./, "") });
  await check(
    new MemoryDirectory({ "config.json": config, "x.pth": bare }),
    { file: "x.pth" },
    /reading \* as model\.\*$/,
  );

  const shards = new MemoryDirectory({ "config.json": config });
  const halves = {
    "pytorch_model-00001-of-00002.bin": tensors.slice(0, 5),
    "b.bin": tensors.slice(5),
  };
  const map: Record<string, string> = {};
  for (const [file, part] of Object.entries(halves)) {
    shards.files.set(file, pickled(part));
    for (const { name } of part) map[name] = file;
  }
  await shards.writeText("pytorch_model.bin.index.json", JSON.stringify({ weight_map: map }));
  await check(shards, {}, /5 tensors .*\n15 tensors .*b\.bin/);
  map[EMBEDDING] = "../b.bin";
  await shards.writeText("pytorch_model.bin.index.json", JSON.stringify({ weight_map: map }));
  await rejects(shards, /name of a .bin file beside/);
});

Deno.test("model directory: safetensors go before PyTorch files", async () => {
  const folder = await directory(fill());
  folder.files.set("pytorch_model.bin", new Uint8Array(10));
  const source = await openModel(folder);
  assert.deepEqual(source.notes, []);
  source.close();
});

Deno.test("model directory: two tensors for one name", async () => {
  const tensors = fill();
  const twice = [
    ...tensors.map((tensor) => ({ ...tensor, name: `module.${tensor.name}` })),
    tensors.find(({ name }) => name === "model.norm.weight")!,
  ];
  await rejects(
    await directory(twice),
    /expected one tensor for model\.norm\.weight, found another/,
  );
});

Deno.test("model directory: weights without a configuration say what would fit, and take another's", async () => {
  const tensors = fill();
  const alone = new MemoryDirectory({ "x.pth": pickled(tensors) });
  await rejects(
    alone,
    /memory\/x\.pth: expected config\.json beside the weights.* 2 layers, hidden size 16 and 11 tokens: "deno task convert --model memory\/x\.pth --config-from MODEL/,
    { file: "x.pth" },
  );
  const configFrom = new MemoryDirectory({ "config.json": JSON.stringify(raw) });
  const source = await openModel(alone, { file: "x.pth", configFrom });
  assert.equal(source.config.tieWordEmbeddings, true);
  assert.equal(source.directory, configFrom);
  source.close();
});

Deno.test("model directory: with another's configuration the weights say whether the head is tied", async () => {
  const configFrom = new MemoryDirectory({ "config.json": JSON.stringify(raw) });
  const tensors = fill(untied);
  const open = async (tensors: NamedTensor[]) => {
    const folder = new MemoryDirectory({ "x.pth": pickled(tensors) });
    const source = await openModel(folder, { file: "x.pth", configFrom });
    source.close();
    return source;
  };
  const own = await open(tensors);
  assert.equal(own.config.tieWordEmbeddings, false);
  assert.match(own.notes.at(-1)!, /lm_head\.weight is not the embedding/);
  const { data } = tensors.find(({ name }) => name === EMBEDDING)!;
  const shared = tensors.map((tensor) =>
    tensor.name === "lm_head.weight" ? { ...tensor, data } : tensor
  );
  const tied = await open(shared);
  assert.equal(tied.config.tieWordEmbeddings, true);
  assert.ok(!tied.tensors.has("lm_head.weight"));

  // A configuration of their own is a promise about them.
  const folder = new MemoryDirectory({
    "config.json": JSON.stringify(raw),
    "x.pth": pickled(tensors),
  });
  await rejects(folder, /"tie_word_embeddings": true, found another/, { file: "x.pth" });
});
