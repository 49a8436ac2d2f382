import assert from "node:assert/strict";
import { adapterScale, adapterTable, targetMatrices } from "../../src/model/adapter.ts";
import { saveAdapter } from "../../src/model/adapter_files.ts";
import { freshAdapter } from "../../src/model/fresh_adapter.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { smallConfig, tensorOf } from "./small_models.ts";

const config = smallConfig();
const shape = (targets: string[], layers: number[] | null = null, rank = 4) => ({
  rank,
  alpha: 8,
  rslora: false,
  matrices: targetMatrices(config, { rank, targets, layers }),
});

Deno.test("adapters are scaled by alpha / r, or alpha / sqrt(r)", () => {
  assert.equal(adapterScale(shape(["q_proj"])), 2);
  assert.equal(adapterScale({ ...shape(["q_proj"]), rslora: true }), 4);
});

Deno.test("adapters of a stacked matrix are stacked, in its order", () => {
  const table = adapterTable(config, shape(["v_proj", "q_proj", "down_proj"], [1]));
  assert.deepEqual(
    table.map(({ name, shape, layer, checkpoint }) => [
      ...[name, shape, layer],
      checkpoint.map(({ name, firstRow }) => `${firstRow} ${name.split(".").slice(-4).join(".")}`),
    ]),
    [
      ["layers.1.qkv_proj.lora_A", [8, 48], 1, [
        "0 self_attn.q_proj.lora_A.weight",
        "4 self_attn.v_proj.lora_A.weight",
      ]],
      ["layers.1.qkv_proj.lora_B", [64, 4], 1, [
        "0 self_attn.q_proj.lora_B.weight",
        "48 self_attn.v_proj.lora_B.weight",
      ]],
      ["layers.1.down_proj.lora_A", [4, 44], 1, ["0 mlp.down_proj.lora_A.weight"]],
      ["layers.1.down_proj.lora_B", [48, 4], 1, ["0 mlp.down_proj.lora_B.weight"]],
    ],
  );
});

Deno.test("a fresh A is uniform within 1 / sqrt(K) by seed and name alone, and B is 0", async () => {
  const name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight";
  const of = (targets: string[], seed: number) =>
    tensorOf(freshAdapter(config, shape(targets), seed), name);
  const a = await of(["all-linear"], 1);
  assert.deepEqual(await of(["down_proj"], 1), a);
  assert.notDeepEqual(await of(["down_proj"], 2), a);
  const bound = 1 / Math.sqrt(44);
  assert.ok(a.every((value) => Math.abs(value) <= bound));
  const variance = a.reduce((sum, value) => sum + value ** 2, 0) / a.length;
  assert.ok(Math.abs(variance / (bound ** 2 / 3) - 1) < 0.25, `variance ${variance}`);
  const b = await tensorOf(freshAdapter(config, shape(["down_proj"]), 1), name.replace("_A", "_B"));
  assert.deepEqual(b, new Float32Array(48 * 4));
});

Deno.test("an adapter's settings name modules and layers, and the revision of a model of the hub", async () => {
  const settings = async (adapted: ReturnType<typeof shape>, base: string) => {
    const to = new MemoryDirectory({});
    const how = { base, dtype: "F32", companions: new MemoryDirectory({}) } as const;
    await saveAdapter(to, config, adapted, [], how);
    return JSON.parse(await to.readText("adapter_config.json"));
  };
  const all = await settings(shape(["q_proj", "v_proj"]), "org/name@abc");
  assert.deepEqual(all.target_modules, ["q_proj", "v_proj"]);
  assert.equal(all.layers_to_transform, null);
  assert.deepEqual([all.base_model_name_or_path, all.revision], ["org/name", "abc"]);
  const some = await settings(shape(["q_proj"], [1]), "runs/mine");
  assert.deepEqual([some.layers_to_transform, some.layers_pattern], [[1], "layers"]);
  assert.deepEqual([some.base_model_name_or_path, some.revision], ["runs/mine", null]);
  const uneven = shape(["q_proj"]);
  const [first] = uneven.matrices;
  const others = shape(["v_proj"]).matrices;
  const names = await settings({ ...uneven, matrices: new Set([first, ...others]) }, "a");
  assert.deepEqual(names.target_modules, [
    "model.layers.0.self_attn.q_proj",
    "model.layers.0.self_attn.v_proj",
    "model.layers.1.self_attn.v_proj",
  ]);
});
