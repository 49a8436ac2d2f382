import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { openModel, saveModel } from "../../src/model/directory.ts";
import { type NamedTensor, serializeSafetensors } from "../../src/formats/safetensors.ts";
import { parseLlamaConfig } from "../../src/model/config.ts";
import { checkpointTensors } from "../../src/model/params.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { collect, MemoryDirectory } from "../formats/memory_directory.ts";

const EMBEDDING = "model.embed_tokens.weight";
const raw = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 20,
  vocab_size: 11,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  some_future_field: { kept: true },
};
const tied = parseLlamaConfig(raw);
const untied = parseLlamaConfig({ ...raw, tie_word_embeddings: false });

function fill(config = tied): (NamedTensor & { data: Float32Array })[] {
  return checkpointTensors(config).map(({ name, shape }, t) => ({
    name,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => t + i / 64),
  }));
}

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

async function rejects(folder: MemoryDirectory, message: RegExp): Promise<void> {
  await assert.rejects(openModel(folder), (error) => {
    assert.ok(error instanceof UserError, `${error}`);
    assert.match(error.message, message);
    return true;
  });
  assert.equal(folder.openFiles, 0, "every file is closed again");
}

Deno.test("model directory: saved and opened again, tied and untied", async () => {
  for (const config of [tied, untied]) {
    const folder = new MemoryDirectory();
    const tensors = fill(config);
    await saveModel(folder, config, tensors.toReversed(), {
      tieWordEmbeddings: config.tieWordEmbeddings,
    });
    const source = await openModel(folder);
    assert.deepEqual(source.config, { ...config, raw: source.config.raw });
    assert.deepEqual([...source.tensors.keys()].sort(), tensors.map(({ name }) => name).sort());
    for (const { name, data } of tensors) assert.deepEqual(await source.readFloat32(name), data);
    source.close();
    assert.equal(folder.openFiles, 0);
  }
});

Deno.test("model directory: config.json keeps unknown fields and tells the truth about the weights", async () => {
  const folder = new MemoryDirectory();
  await saveModel(folder, tied, fill(untied), { tieWordEmbeddings: false, dtype: "F16" });
  assert.deepEqual(JSON.parse(await folder.readText("config.json")), {
    ...raw,
    tie_word_embeddings: false,
    torch_dtype: "float16",
  });
  const modern = parseLlamaConfig({ ...raw, torch_dtype: undefined, dtype: "bfloat16" });
  await saveModel(folder, modern, fill(), { tieWordEmbeddings: true });
  assert.deepEqual(JSON.parse(await folder.readText("config.json")), {
    ...raw,
    torch_dtype: "float32",
  });
});

Deno.test("model directory: tokenizer files come along, other files do not", async () => {
  const from = new MemoryDirectory({
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{ }",
    "special_tokens_map.json": "{}",
    "chat_template.jinja": "{{ x }}",
    "generation_config.json": "{}",
    "pytorch_model.bin": "pickle",
  });
  const to = new MemoryDirectory();
  await saveModel(to, tied, fill(), { tieWordEmbeddings: true, companions: from });
  assert.equal(await to.readText("chat_template.jinja"), "{{ x }}");
  assert.deepEqual(await to.list(), [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  assert.equal(from.openFiles, 0);
});

Deno.test("model directory: saving the wrong tensors is refused before anything is written", async () => {
  const folder = new MemoryDirectory();
  const save = (tensors: NamedTensor[]) =>
    saveModel(folder, tied, tensors, { tieWordEmbeddings: true });
  await assert.rejects(save(fill().slice(1)), /without model.embed_tokens.weight/);
  await assert.rejects(save(fill(untied)), /"lm_head.weight": expected no such tensor/);
  const turned = fill().map((tensor) =>
    tensor.name === EMBEDDING ? { ...tensor, shape: [16, 11] } : tensor
  );
  await assert.rejects(save(turned), /expected shape \(11, 16\), found \(16, 11\)/);
  await assert.rejects(save([...fill(), fill()[0]]), RangeError);
  assert.deepEqual(await folder.list(), []);
});

Deno.test("model directory: nothing half written is a model", async () => {
  const folder = new MemoryDirectory();
  const [first, ...rest] = fill();
  const broken = [{ ...first, data: first.data.with(3, NaN) }, ...rest];
  await assert.rejects(saveModel(folder, tied, broken, { tieWordEmbeddings: true }), /NaN/);
  assert.equal(await folder.has("config.json"), false);
});

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
  await rejects(
    await sharded(shards, { [EMBEDDING]: "b.safetensors" }),
    /place it in a.safetensors/,
  );
  await rejects(
    await sharded(shards, { more: "a.safetensors" }),
    /"more": expected it in a.safetensors/,
  );
  await rejects(
    await sharded({ ...shards, "c.safetensors": tensors.slice(0, 1) }),
    /place it in a.safetensors/,
  );
  const folder = await sharded(shards);
  await folder.writeText("model.safetensors.index.json", '{"weight_map": []}');
  await rejects(folder, /"weight_map" to be an object/);
});

Deno.test("model directory: missing files are named", async () => {
  await rejects(new MemoryDirectory(), /config.json/);
  const pickled = new MemoryDirectory({
    "config.json": JSON.stringify(raw),
    "pytorch_model.bin": "",
  });
  await rejects(pickled, /expected model.safetensors.*found config.json, pytorch_model.bin/);
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
  const cases = ["tied-gqa", "untied-mha", "text-seed", "tiny-dialogue"];
  const base = new URL("../../../shared/reference/golden/", import.meta.url).pathname;
  if (await Deno.stat(base).catch(() => null) === null) {
    console.log("skipped: no ../shared/reference/golden beside the repository");
    return;
  }
  for (const name of cases) {
    await test.step(name, async () => {
      const source = await openModel(await openDirectory(`${base}${name}/model`));
      const expected = JSON.parse(await Deno.readTextFile(`${base}${name}/expected.json`));
      let parameters = 0;
      for (const tensor of source.tensors.keys()) {
        parameters += (await source.readFloat32(tensor)).length;
      }
      assert.equal(parameters, expected.parameters);
      source.close();
    });
  }
});
