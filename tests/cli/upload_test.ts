import assert from "node:assert/strict";
import { inTemporaryDirectory, run, runOk } from "../e2e/command.ts";
import { writeModel, writePairs } from "../e2e/inputs.ts";
import { randomPairs } from "../model/small_models.ts";
import { StandInHub } from "../platform/hub/stand_in_hub.ts";

/** Gives `body` a hub and a model, with a token unless it takes it away. */
async function withHub(
  body: (hub: StandInHub, model: string, directory: string) => Promise<void>,
): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    await using hub = new StandInHub();
    hub.requiredToken = "hf_secret";
    const variables = {
      HF_ENDPOINT: hub.endpoint,
      HF_HUB_CACHE: `${directory}/cache`,
      HF_TOKEN: "hf_secret",
    };
    for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
    try {
      await body(hub, await writeModel(`${directory}/model`), directory);
    } finally {
      for (const name of Object.keys(variables)) Deno.env.delete(name);
    }
  });
}

const REPO = ["--hub-model-id", "org/mine"];

Deno.test("upload: what was sent comes back by download, to the last byte", () =>
  withHub(async (hub, model) => {
    await Deno.writeTextFile(`${model}/.lock`, "");
    await Deno.writeTextFile(`${model}/README.md`, "---\n---\n# é\n");
    await Deno.mkdir(`${model}/checkpoints`);
    const { stdout, stderr } = await runOk("upload", "--model", model, ...REPO, "--json");
    assert.match(stderr, /100 % {2}model\.safetensors/);
    assert.equal(JSON.parse(stdout).repo, "org/mine");
    assert.equal(hub.visibilities.get("models/org/mine"), "private");
    const { files } = hub.repos.get("models/org/mine")!;
    assert.deepEqual(
      [...files.keys()].sort(),
      ["README.md", "config.json", "generation_config.json", "model.safetensors"],
    );
    const sent = hub.storageRequests.filter(({ method }) => method === "PUT");
    assert.deepEqual(
      sent.map(({ authorization }) => authorization),
      [null],
      "no token beyond the hub",
    );

    const answer = await runOk("download", "--model", "org/mine", "--json");
    const { path } = JSON.parse(answer.stdout);
    for (const name of ["config.json", "model.safetensors"]) {
      assert.deepEqual(
        await Deno.readFile(`${path}/${name}`),
        await Deno.readFile(`${model}/${name}`),
      );
    }

    // Again, into the same repository, with the task's own permissions and the way to this hub.
    files.clear();
    const again = await new Deno.Command(Deno.execPath(), {
      args: [
        ...[
          "run",
          "-q",
          "--no-prompt",
          "-P=upload",
          `--allow-net=${hub.endpoint.slice(7)},127.0.0.1`,
        ],
        ...["src/cli/main.ts", "upload", "--model", model, ...REPO, "--no-hub-private-repo"],
      ],
    }).output();
    assert.equal(again.code, 0, new TextDecoder().decode(again.stderr));
    assert.equal(files.size, 4);
    assert.equal(hub.visibilities.get("models/org/mine"), "private");
  }));

Deno.test("upload: nothing is sent without a token, a name and a model that loads", () =>
  withHub(async (hub, model, directory) => {
    const refuses = async (message: RegExp, ...flags: string[]) => {
      const { code, stderr } = await run("upload", ...flags);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    };
    const named = ["--model", model, ...REPO];
    await refuses(
      /Expected --hub-model-id ORG\/NAME to say where to upload, found none/,
      "--model",
      model,
    );
    await refuses(/found mine/, "--model", model, "--hub-model-id", "mine");
    await refuses(/no such file or folder/, "--model", `${directory}/none`, ...REPO);
    await refuses(
      /found the file .*convert it first/,
      "--model",
      `${model}/model.safetensors`,
      ...REPO,
    );
    Deno.env.delete("HF_TOKEN");
    await refuses(/expected HF_TOKEN to hold a token that may write, found none/, ...named);
    Deno.env.set("HF_TOKEN", "secret");
    await refuses(/Expected HF_TOKEN to begin with "hf_"/, ...named);
    assert.deepEqual(hub.hubRequests, []);
    Deno.env.set("HF_TOKEN", "hf_wrong");
    await refuses(/Cannot upload to org\/mine: the hub does not accept HF_TOKEN/, ...named);
    Deno.env.set("HF_TOKEN", "hf_secret");
    hub.refuseCommits = true;
    await refuses(
      /Cannot upload to org\/mine: the hub answers with status 400 \(invalid model card\)/,
      ...named,
    );
    assert.equal(hub.repos.get("models/org/mine")!.files.size, 0);
    await Deno.truncate(`${model}/model.safetensors`, 1000);
    await refuses(/damaged or incomplete/, ...named);
  }));

Deno.test("--push-to-hub: what train, sft and convert have saved is on the hub as it is here", () =>
  withHub(async (hub, model, directory) => {
    const pairs = await writePairs(`${directory}/pairs.jsonl`, randomPairs(1, 2, 113, 30));
    const push = ["--push-to-hub", "--hub-model-id"];
    const steps = ["--max-steps", 1, "--max-length", 64, "--model", model];
    const output = `${directory}/run`;
    const trained = await runOk(
      "train",
      ...[...steps, "--dataset", pairs, "--output", output, ...push, "org/trained"],
    );
    assert.match(trained.stderr, /saved .*\n(?:.*\n)*uploaded {3}.*run to org\/trained: http/);
    const { files } = hub.repos.get("models/org/trained")!;
    const local = await Array.fromAsync(Deno.readDir(output));
    const names = local.filter(({ isFile }) => isFile).map(({ name }) => name);
    assert.deepEqual([...files.keys()].sort(), names.sort());
    assert.deepEqual(
      files.get("model.safetensors"),
      await Deno.readFile(`${output}/model.safetensors`),
    );
    assert.equal(hub.visibilities.get("models/org/trained"), "private");

    const converted = ["--model", model, "--output", `${directory}/bf16`, "--save-dtype", "bf16"];
    await runOk("convert", ...converted, ...push, "org/bf16", "--no-hub-private-repo");
    assert.equal(hub.visibilities.get("models/org/bf16"), "public");
    assert.ok(hub.repos.get("models/org/bf16")!.files.has("model.safetensors"));
  }));

Deno.test("--push-to-hub: refused before any training if it could not work; a failure after it keeps the run", () =>
  withHub(async (hub, model, directory) => {
    const pairs = await writePairs(`${directory}/pairs.jsonl`, randomPairs(1, 2, 113, 30));
    const output = `${directory}/run`;
    const train = (...flags: string[]) =>
      run(
        "train",
        ...["--model", model, "--dataset", pairs, "--max-steps", 1, "--output", output, ...flags],
      );
    const refuses = async (message: RegExp, ...flags: string[]) => {
      const { code, stderr } = await train(...flags);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      await assert.rejects(Deno.stat(output), Deno.errors.NotFound);
    };
    await refuses(/Expected --hub-model-id ORG\/NAME .*, found none/, "--push-to-hub");
    await refuses(/Expected --push-to-hub with --hub-model-id/, ...REPO);
    Deno.env.set("HF_TOKEN", "hf_wrong");
    await refuses(/the hub does not accept HF_TOKEN/, "--push-to-hub", ...REPO);
    Deno.env.set("HF_HUB_OFFLINE", "1");
    await refuses(/Cannot upload to org\/mine: HF_HUB_OFFLINE is set/, "--push-to-hub", ...REPO);
    Deno.env.delete("HF_HUB_OFFLINE");
    Deno.env.delete("HF_TOKEN");
    await refuses(/expected HF_TOKEN to hold a token that may write/, "--push-to-hub", ...REPO);
    Deno.env.set("HF_TOKEN", "hf_secret");

    hub.refuseCommits = true;
    const failed = await train("--push-to-hub", ...REPO);
    assert.equal(failed.code, 2);
    assert.match(failed.stderr, /saved .*\n/);
    assert.match(
      failed.stderr,
      /error: Cannot upload to org\/mine: .*run is complete, and "deno task upload --model .*run --hub-model-id org\/mine" uploads it/,
    );
    hub.refuseCommits = false;
    const [again] = /upload --model \S+ --hub-model-id [^"]+/.exec(failed.stderr)!;
    const [command, ...flags] = again.split(" ");
    await runOk(command, ...flags);
    assert.ok(hub.repos.get("models/org/mine")!.files.has("run.json"));
  }));
