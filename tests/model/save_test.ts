import assert from "node:assert/strict";
import type { NamedTensor } from "../../src/formats/safetensors.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { openModel } from "../../src/model/directory.ts";
import { parseByteSize, saveModel } from "../../src/model/save.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { EMBEDDING, fill, raw, tied, untied } from "./stored_models.ts";

Deno.test("saved model: saved and opened again, tied and untied", async () => {
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

Deno.test("saved model: config.json keeps unknown fields and tells the truth about the weights", async () => {
  const folder = new MemoryDirectory();
  await saveModel(folder, tied, fill(untied), { tieWordEmbeddings: false, dtype: "F16" });
  assert.deepEqual(JSON.parse(await folder.readText("config.json")), {
    ...raw,
    tie_word_embeddings: false,
    torch_dtype: "float16",
  });
  const modern = parseModelConfig({ ...raw, torch_dtype: undefined, dtype: "bfloat16" });
  await saveModel(folder, modern, fill(), { tieWordEmbeddings: true });
  assert.deepEqual(JSON.parse(await folder.readText("config.json")), {
    ...raw,
    torch_dtype: "float32",
  });
});

Deno.test("saved model: rotary embeddings in both spellings where they came in the new one", async () => {
  const rope = async (fields: Record<string, unknown>) => {
    const { rope_theta: _theta, ...plain } = raw as Record<string, unknown>;
    const config = parseModelConfig({ ...plain, ...fields });
    const folder = new MemoryDirectory();
    await saveModel(folder, config, fill(), { tieWordEmbeddings: true });
    const saved = JSON.parse(await folder.readText("config.json"));
    const { ropeTheta, ropeScaling } = parseModelConfig(saved);
    assert.deepEqual([ropeTheta, ropeScaling], [config.ropeTheta, config.ropeScaling]);
    return [saved.rope_theta, saved.rope_scaling, saved.rope_parameters];
  };
  const plain = { rope_type: "default", rope_theta: 5e5 };
  const linear = { rope_type: "linear", factor: 2 };
  assert.deepEqual(await rope({ rope_parameters: plain }), [5e5, null, plain]);
  assert.deepEqual(await rope({ rope_parameters: { ...linear, rope_theta: 5e5 } }), [
    5e5,
    linear,
    { ...linear, rope_theta: 5e5 },
  ]);
  assert.deepEqual(await rope({ rope_scaling: linear, rope_parameters: plain }), [
    10000,
    linear,
    { ...linear, rope_theta: 10000 },
  ]);
  assert.deepEqual(await rope({ rope_scaling: linear, rope_theta: 5e5 }), [5e5, linear, undefined]);
});

Deno.test("saved model: tokenizer files come along, other files do not", async () => {
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

Deno.test("saved model: saving the wrong tensors is refused before anything is written", async () => {
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

Deno.test("saved model: nothing half written is a model", async () => {
  const folder = new MemoryDirectory();
  const [first, ...rest] = fill();
  const broken = [{ ...first, data: first.data.with(3, NaN) }, ...rest];
  await assert.rejects(saveModel(folder, tied, broken, { tieWordEmbeddings: true }), /NaN/);
  assert.equal(await folder.has("config.json"), false);
});

Deno.test("saved model: shards of at most so many bytes, with their index", async () => {
  const tensors = fill();
  const folder = new MemoryDirectory();
  await saveModel(folder, tied, tensors, { tieWordEmbeddings: true, maxShardBytes: 3000 });
  const shards = (await folder.list()).filter((name) => name.endsWith(".safetensors"));
  assert.ok(shards.length > 2);
  assert.equal(shards[0], `model-00001-of-0000${shards.length}.safetensors`);
  let total = 0;
  for (const shard of shards) {
    const file = await folder.open(shard);
    const header = 8 + new DataView((await file.read(0, 8)).buffer).getUint32(0, true);
    assert.ok(file.size - header <= 3000, `${shard}: ${file.size - header}`);
    total += file.size - header;
    file.close();
  }
  const index = JSON.parse(await folder.readText("model.safetensors.index.json"));
  assert.equal(index.metadata.total_size, total);
  assert.equal(Object.keys(index.weight_map).length, tensors.length);
  const source = await openModel(folder);
  for (const { name, data } of tensors) assert.deepEqual(await source.readFloat32(name), data);
  source.close();
});

Deno.test("saved model: a tensor larger than a shard has a file of its own", async () => {
  const folder = new MemoryDirectory();
  await saveModel(folder, tied, fill(), { tieWordEmbeddings: true, maxShardBytes: 1 });
  const shards = (await folder.list()).filter((name) => name.endsWith(".safetensors"));
  assert.equal(shards.length, fill().length);
});

Deno.test("saved model: generation settings follow from the configuration where there are none", async () => {
  const folder = new MemoryDirectory();
  const config = parseModelConfig({ ...raw, bos_token_id: 1, eos_token_id: [2, 3] });
  await saveModel(folder, config, fill(), { tieWordEmbeddings: true });
  assert.deepEqual(JSON.parse(await folder.readText("generation_config.json")), {
    _from_model_config: true,
    bos_token_id: 1,
    eos_token_id: [2, 3],
  });
});

Deno.test("saved model: sizes of shards", () => {
  assert.deepEqual(["5GB", "500MB", "1.5 kb", "7", "7B"].map(parseByteSize), [
    5e9,
    5e8,
    1500,
    7,
    7,
  ]);
  for (const text of ["", "0", "GB", "-1", "5TB", "1e3", "0.1"]) {
    assert.throws(() => parseByteSize(text), /Expected --max-shard-size such as 5GB/);
  }
});
