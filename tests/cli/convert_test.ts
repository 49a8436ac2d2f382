import assert from "node:assert/strict";
import { openModel } from "../../src/model/directory.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { inTemporaryDirectory, run, runOk } from "../e2e/command.ts";
import { writeModel, writePairs } from "../e2e/inputs.ts";
import { torchFile } from "../formats/torch_files.ts";
import { randomPairs } from "../model/small_models.ts";

/** Writes the tensors of a model directory as a `.pth` file, without a configuration. */
async function pickle(model: string, path: string): Promise<void> {
  const source = await openModel(await openDirectory(model));
  const storages: Record<string, Float32Array> = {};
  for (const name of source.tensors.keys()) storages[name] = await source.readFloat32(name);
  const views = Object.keys(storages).map((name) =>
    [`module.${name}`, { shape: source.tensors.get(name)!.shape, key: name }] as const
  );
  source.close();
  await Deno.writeFile(path, torchFile(Object.fromEntries(views), storages));
}

Deno.test("convert: a .pth becomes a directory that gives the same scores", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    await Deno.writeTextFile(`${model}/chat_template.jinja`, "{{ messages }}");
    const weights = `${directory}/weights.pth`, output = `${directory}/converted`;
    await pickle(model, weights);
    const alone = await run("convert", "--model", weights, "--output", output);
    assert.equal(alone.code, 2);
    assert.match(alone.stderr, /expected config\.json beside the weights.*--config-from MODEL/);

    const flags = ["--config-from", model, "--output", output, "--json"];
    const { stdout, stderr } = await runOk("convert", "--model", weights, ...flags);
    assert.match(stderr, /^weights {4}\d+ tensors of PyTorch in .*weights\.pth$/m);
    assert.match(stderr, /^weights {4}reading module\.model\.\* as model\.\*$/m);
    assert.match(stderr, /^saved .* weights, F32 as F32, head tied to the embedding$/m);
    assert.equal(JSON.parse(stdout).tieWordEmbeddings, true);
    assert.equal(await Deno.readTextFile(`${output}/chat_template.jinja`), "{{ messages }}");

    const pairs = await writePairs(`${directory}/pairs.jsonl`, randomPairs(1, 3, 113, 30));
    const score = ["--dataset", pairs, "--max-length", 64];
    const expected = await runOk("score", "--model", model, ...score);
    assert.equal((await runOk("score", "--model", output, ...score)).stdout, expected.stdout);
    // A file is enough where the configuration lies beside it.
    await Deno.copyFile(weights, `${model}/other.pth`);
    const named = await runOk("score", "--model", `${model}/other.pth`, ...score);
    assert.equal(named.stdout, expected.stdout);
    assert.match(named.stderr, /reading module\.model\.\* as model\.\*/);
  }));

Deno.test("convert: number types and shards; as stored without a wish", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const half = `${directory}/half`, again = `${directory}/again`;
    const shard = ["--max-shard-size", "20KB"];
    await runOk("convert", "--model", model, "--output", half, "--save-dtype", "bf16", ...shard);
    assert.equal(
      JSON.parse(await Deno.readTextFile(`${half}/config.json`)).torch_dtype,
      "bfloat16",
    );
    const files = (await Array.fromAsync(Deno.readDir(half))).map(({ name }) => name).sort();
    assert.ok(files.includes("model.safetensors.index.json"), `${files}`);
    assert.ok(files.includes("model-00002-of-00002.safetensors") || files.length > 5, `${files}`);
    const { stderr } = await runOk("convert", "--model", half, "--output", again);
    assert.match(stderr, /BF16 as BF16/);
    const [first, second] = await Promise.all(
      [half, again].map(async (path) => await openModel(await openDirectory(path))),
    );
    for (const name of first.tensors.keys()) {
      assert.deepEqual(await first.readFloat32(name), await second.readFloat32(name));
    }
    first.close();
    second.close();
  }));

Deno.test("convert: a failure leaves nothing, and nothing is written over", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    const names = async () =>
      (await Array.fromAsync(Deno.readDir(directory))).map(({ name }) => name).sort();
    const refuses = async (message: RegExp, ...flags: string[]) => {
      const { code, stderr } = await run("convert", "--model", model, ...flags);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^error: [^\n]+\n$/m);
      assert.match(stderr, message);
    };
    await refuses(/Expected --output DIR/);
    await refuses(/Expected .*model to be new or empty, found \d+ files/, "--output", model);
    const output = ["--output", `${directory}/out`];
    await refuses(/Expected --max-shard-size such as 5GB/, ...output, "--max-shard-size", "big");
    const last = (await Deno.stat(`${model}/model.safetensors`)).size - 4;
    const file = await Deno.open(`${model}/model.safetensors`, { write: true });
    await file.seek(last, Deno.SeekMode.Start);
    await file.write(new Uint8Array(Float32Array.of(1e30).buffer));
    await refuses(/as F16: expected values in its range, found 1\.0/, ...output, "--dtype", "f16");
    await file.seek(last, Deno.SeekMode.Start);
    await file.write(new Uint8Array(Float32Array.of(NaN).buffer));
    file.close();
    await refuses(/expected finite weights, found NaN/, ...output);
    assert.deepEqual(await names(), ["model"]);
  }));
