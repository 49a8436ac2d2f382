import assert from "node:assert/strict";
import denoConfig from "../../deno.json" with { type: "json" };
import { inTemporaryDirectory, jsonLines, run, runOk } from "../e2e/command.ts";
import { writeModel, writePairs } from "../e2e/inputs.ts";
import { randomPairs } from "../model/small_models.ts";
import { parquetFile } from "../data/parquet_files.ts";
import { byteTokenizerFiles } from "../text/byte_tokenizer.ts";
import { StandInHub } from "../platform/hub/stand_in_hub.ts";

/** Gives `body` a hub and a cache that the commands of this process use. */
async function withHub(
  body: (hub: StandInHub, directory: string) => Promise<void>,
): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    await using hub = new StandInHub();
    const variables = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: `${directory}/cache` };
    for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
    try {
      await body(hub, directory);
    } finally {
      for (const name of [...Object.keys(variables), "HF_HUB_OFFLINE"]) Deno.env.delete(name);
    }
  });
}

/** The files of a small model. */
async function modelFiles(directory: string): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  await writeModel(`${directory}/model`);
  const names = ["config.json", "model.safetensors"];
  const contents = names.map((name) => Deno.readFile(`${directory}/model/${name}`));
  return Object.fromEntries((await Promise.all(contents)).map((bytes, i) => [names[i], bytes]));
}

Deno.test("download: a model of the hub, and then it works by its name without the hub", () =>
  withHub(async (hub, directory) => {
    hub.add("models/org/small", { ...await modelFiles(directory), "onnx/model.onnx": "x" });
    const pairs = await writePairs(`${directory}/pairs.jsonl`, randomPairs(1, 3, 113, 30));
    const flags = ["--dataset", pairs, "--max-length", 64];
    const early = await run("score", "--model", "org/small", ...flags);
    assert.equal(early.code, 2);
    assert.match(
      early.stderr,
      /no such file or folder, and no model of that name in the hub's cache/,
    );
    assert.match(early.stderr, /"deno task download --model org\/small"/);

    const { stdout, stderr } = await runOk("download", "--model", "org/small", "--json");
    assert.match(stderr, /2 of 3 files/);
    assert.match(stderr, /100 %.*model\.safetensors/);
    const [{ path }] = jsonLines<{ path: string }>(stdout);
    assert.ok(path.startsWith(`${directory}/cache/models--org--small/snapshots/`));

    const requests = hub.hubRequests.length;
    const named = await runOk("score", "--model", "org/small", ...flags);
    const local = await runOk("score", "--model", `${directory}/model`, ...flags);
    assert.equal(named.stdout, local.stdout);
    assert.equal(hub.hubRequests.length, requests, "no request");

    await Deno.remove(`${path}/model.safetensors`);
    const incomplete = await run("score", "--model", "org/small", ...flags);
    assert.equal(incomplete.code, 2);
    assert.match(
      incomplete.stderr,
      /expected model\.safetensors.*"deno task download --model org\/small" completes/,
    );

    Deno.env.set("HF_HUB_OFFLINE", "1");
    assert.match((await runOk("download", "--model", "org/small")).stderr, /as it is in the cache/);
    const missing = await run("download", "--dataset", "org/rows");
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /Cannot download dataset org\/rows: HF_HUB_OFFLINE is set/);
    assert.equal(hub.hubRequests.length, requests, "no request");
  }));

Deno.test("download: what is here is not fetched, and names must be names", () =>
  withHub(async (hub) => {
    const { stderr } = await runOk("download", "--model", "fixtures/model");
    assert.match(stderr, /fixtures\/model is here/);
    for (
      const [flags, message] of [
        [[], /--model ORG\/NAME or --dataset ORG\/NAME/],
        [["--model", "gpt2"], /Expected --model to be ORG\/NAME.*found "gpt2"/],
        [["--model", "https://huggingface.co/a/b"], /Expected --model to be ORG\/NAME/],
        [
          ["--dataset", "org/none"],
          /Cannot list dataset org\/none: the hub has no such repository/,
        ],
      ] as const
    ) {
      const answer = await run("download", ...flags);
      assert.equal(answer.code, 2);
      assert.match(answer.stderr, message);
    }
    assert.equal(hub.hubRequests.length, 1);
  }));

Deno.test("download: the task's permissions end at the hub; the message says how to go on", () =>
  withHub(async (hub, directory) => {
    hub.add("models/org/small", await modelFiles(directory));
    const download = async (...permissions: string[]) => {
      const { stderr, code } = await new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-q", "--no-prompt", "-P=download", ...permissions, "src/cli/main.ts"],
          ...["download", "--model", "org/small"],
        ],
      }).output();
      return { code, text: new TextDecoder().decode(stderr) };
    };
    const refused = await download();
    assert.equal(refused.code, 2);
    const host = hub.endpoint.replace("http://", "");
    assert.match(refused.text, /may not use the network beyond Hugging Face's hosts/);
    assert.ok(
      refused.text.includes(`-P=download --allow-net=${host} src/cli/main.ts download`),
      refused.text,
    );
    assert.equal(hub.hubRequests.length, 0);

    const storage = await download(`--allow-net=${host}`);
    assert.equal(storage.code, 2, "the host of large files has not been permitted");
    assert.match(storage.text, /Cannot download model\.safetensors.*--allow-net=127\.0\.0\.1:\d+/);
    const { code, text } = await download("--allow-net=127.0.0.1");
    assert.equal(code, 0, text);
  }));

Deno.test("download: a dataset of the hub, and its splits go by their names", () =>
  withHub(async (hub, directory) => {
    const rows = (chosen: string) => parquetFile([{ prompt: "p", chosen, rejected: "r" }]);
    hub.add("datasets/org/pairs", {
      "README.md":
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n" +
        "  - {split: test, path: data/test-*}\n---\n",
      "data/train-00000-of-00001.parquet": rows("trained"),
      "data/test-00000-of-00001.parquet": rows("held out"),
    });
    await writeModel(`${directory}/model`);
    for (const [name, text] of Object.entries(byteTokenizerFiles())) {
      await Deno.writeTextFile(`${directory}/model/${name}`, text);
    }
    await runOk("download", "--dataset", "org/pairs");
    // A card, too, is read with the permissions of the task alone.
    const task = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-q", "--no-prompt", "-P=inspect", "src/cli/main.ts", "inspect", "--rows", "1"],
        ...["--model", `${directory}/model`, "--dataset", "org/pairs:test"],
      ],
    }).output();
    assert.equal(task.code, 0, new TextDecoder().decode(task.stderr));
    const requests = hub.hubRequests.length;
    const show = async (dataset: string) => {
      const flags = ["--model", `${directory}/model`, "--dataset", dataset, "--json"];
      const { stdout } = await runOk("inspect", ...flags);
      const [{ sequences: [{ tokens }] }] = jsonLines<
        { sequences: { tokens: { text: string; part: string }[] }[] }
      >(stdout);
      return tokens.filter(({ part }) => part === "completion").map(({ text }) => text).join("");
    };
    assert.equal(await show("org/pairs"), "trained<|endoftext|>");
    assert.equal(await show("org/pairs:test[:1]"), "held out<|endoftext|>");
    assert.equal(await show("org/pairs/data/te*.parquet"), "held out<|endoftext|>");
    assert.equal(hub.hubRequests.length, requests, "no request");
  }));

Deno.test("train fetches what its flags name and the cache lacks; then it needs no hub", () =>
  withHub(async (hub, directory) => {
    hub.add("models/org/small", await modelFiles(directory));
    const rows = await Deno.readTextFile(
      await writePairs(`${directory}/pairs.jsonl`, randomPairs(1, 4, 113, 30)),
    );
    hub.add("datasets/org/pairs", { "train.jsonl": rows, "test.jsonl": rows, "README.md": "" });
    const train = (output: string, ...flags: string[]) =>
      run(
        "train",
        ...["--model", "org/small", "--reference", "org/small", "--dataset", "org/pairs:train[:2]"],
        ...["--eval-dataset", "org/pairs", "--max-steps", "1", "--max-length", "64"],
        ...["--output", `${directory}/${output}`, ...flags],
      );
    const cold = await train("cold");
    assert.equal(cold.code, 0, cold.stderr);
    assert.match(cold.stderr, /hub {8}org\/small is not here: asking http:/);
    assert.match(cold.stderr, /100 %.*model\.safetensors/);
    assert.equal(cold.stderr.match(/^hub /gm)!.length, 2, "each once");
    const requests = hub.hubRequests.length;
    const warm = await train("warm");
    assert.equal(warm.code, 0, warm.stderr);
    assert.equal(hub.hubRequests.length, requests, "no request");
    assert.doesNotMatch(warm.stderr, /^hub /m);

    const converted = await run("convert", "--model", "org/none", "--output", `${directory}/out`);
    assert.equal(converted.code, 2);
    assert.match(converted.stderr, /Cannot list model org\/none: the hub has no such repository/);
    const kept = ["--dataset", "org/rows", "--output", `${directory}/kept.jsonl`];
    hub.add("datasets/org/rows", { "rows.jsonl": '{"prompt":"a","chosen":"b","rejected":"c"}' });
    assert.match((await runOk("filter", ...kept)).stderr, /100 %.*rows\.jsonl/);

    Deno.env.set("HF_HUB_OFFLINE", "1");
    const before = hub.hubRequests.length;
    const offline = await run("sft", "--model", "org/other", "--output", `${directory}/sft`);
    assert.match(offline.stderr, /Cannot download model org\/other: HF_HUB_OFFLINE is set/);
    Deno.env.delete("HF_HUB_OFFLINE");
    // What looks like a file that is not there is nobody's repository.
    const missing = await run("train", "--dataset", "data/pairs.jsonl");
    assert.match(missing.stderr, /Cannot open data\/pairs\.jsonl: no such file or folder/);
    assert.equal(hub.hubRequests.length, before, "no request");
  }));

Deno.test("a dataset that is here in part is not taken for the whole, and of the rest what is meant is fetched", () =>
  withHub(async (hub, directory) => {
    const row = (text: string) => `{"prompt": "p", "chosen": "${text}", "rejected": "r"}\n`;
    const shard = (split: string, i: number) => `data/${split}-0000${i}-of-00002.jsonl`;
    const shards = ["train", "test"].flatMap((split) => [shard(split, 0), shard(split, 1)]);
    const files = Object.fromEntries(shards.map((path) => [path, row(path)]));
    hub.add("datasets/org/pairs", { "README.md": "#", "more/rows.jsonl": row("more"), ...files });
    const fetched = () =>
      [...hub.hubRequests, ...hub.storageRequests]
        .map(({ path }) => /[^/]+\.(?:jsonl|md)$/.exec(path)?.[0])
        .filter((name) => name !== undefined);
    const inspect = (dataset: string) => run("inspect", "--rows", "9", "--dataset", dataset);
    const keep = (dataset: string) =>
      run("filter", "--dataset", dataset, "--output", `${directory}/kept.jsonl`);

    await runOk("download", "--dataset", "org/pairs", "--include", shard("train", 0));
    const part = await inspect("org/pairs:train");
    assert.equal(part.code, 2);
    assert.match(
      part.stderr,
      /1 of its 2 files were not downloaded, data\/train-00001.*"deno task download --dataset org\/pairs" brings them/,
    );
    for (const other of ["org/pairs:test", "org/pairs/more", "org/pairs/more/*.jsonl"]) {
      assert.match((await inspect(other)).stderr, /files were not downloaded/, other);
    }
    assert.match((await inspect("org/pairs/none")).stderr, /none: no such file or folder/);
    assert.equal((await inspect(`org/pairs/${shard("train", 0)}`)).code, 0);
    assert.equal((await inspect("org/pairs/data/train-00000*")).code, 0);

    hub.hubRequests.length = 0;
    const { code, stderr } = await keep("org/pairs:train");
    assert.equal(code, 0, stderr);
    assert.deepEqual(fetched(), ["train-00001-of-00002.jsonl"]);
    assert.equal((await inspect("org/pairs:train")).code, 0);
    Deno.env.set("HF_HUB_OFFLINE", "1");
    assert.match((await keep("org/pairs:test")).stderr, /2 of its 2 files were not downloaded/);
    Deno.env.delete("HF_HUB_OFFLINE");

    await Deno.remove(`${directory}/cache`, { recursive: true });
    hub.hubRequests.length = 0;
    assert.equal((await keep("org/pairs/more")).code, 0);
    assert.deepEqual(fetched(), ["README.md", "rows.jsonl"]);
    assert.match((await keep("org/pairs:validation")).stderr, /expected a split "validation"/);
    assert.equal(fetched().length, 2);
    await runOk("download", "--dataset", "org/pairs");
    assert.equal(fetched().length, 6);
    assert.equal((await inspect("org/pairs:test")).code, 0);
  }));

Deno.test("train: the hub's file is refused when it is not what the hub says, and nothing is trained", () =>
  withHub(async (hub, directory) => {
    hub.add("models/org/small", await modelFiles(directory));
    hub.faults.set("model.safetensors", ["tampered"]);
    const flags = ["--model", "org/small", "--output", `${directory}/run`];
    const { code, stderr } = await run("train", ...flags);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /Cannot download model\.safetensors of model org\/small: expected content/,
    );
    await assert.rejects(Deno.stat(`${directory}/run`), Deno.errors.NotFound);
  }));

Deno.test("only tasks that may write may reach the hub, and it alone; all others have no way out", () => {
  const HUB = ["huggingface.co", "*.hf.co"];
  const permissions: Record<string, { read: unknown; net?: string[] }> = denoConfig.permissions;
  const reaching = Object.keys(permissions).filter((name) =>
    permissions[name].net?.some((host) => HUB.includes(host))
  );
  assert.deepEqual(reaching.sort(), ["convert", "download", "filter", "train", "upload"]);
  for (const name of reaching) assert.deepEqual(permissions[name].net, HUB);
  for (const name of ["measure", "inspect", "serve"]) {
    assert.ok(
      !permissions[name].net?.some((host) => !/^(?:[\d.]+|localhost|\[::1\])$/.test(host)),
      name,
    );
  }
});
