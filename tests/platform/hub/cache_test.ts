import assert from "node:assert/strict";
import { inTemporaryDirectory } from "../../e2e/command.ts";
import { locate } from "../../../src/platform/hub/cache.ts";
import { hubCachePath, hubSettings } from "../../../src/platform/hub/settings.ts";

/** Runs `body` with these variables and no others of the hub's. */
async function withVariables(
  variables: Record<string, string>,
  body: () => void | Promise<void>,
): Promise<void> {
  const names = ["HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME", "HF_HUB_CACHE"];
  names.push("HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HOME");
  const before = names.map((name) => [name, Deno.env.get(name)] as const);
  for (const name of names) Deno.env.delete(name);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  try {
    await body();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
}

Deno.test("hub: the cache is where Hugging Face's tools have it", async () => {
  const home = { HOME: "/home/a" };
  const cases: [Record<string, string>, string][] = [
    [{}, "/home/a/.cache/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }, "/h/hub"],
    [{ HF_HOME: "~/h" }, "/home/a/h/hub"],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/c" }, "/c"],
  ];
  for (const [variables, expected] of cases) {
    await withVariables({ ...home, ...variables }, () => assert.equal(hubCachePath(), expected));
  }
  await withVariables({}, () => assert.throws(hubCachePath, /Expected HF_HOME or HOME/));
});

Deno.test("hub: endpoint, token and offline mode come from the environment", async () => {
  await withVariables({}, () =>
    assert.deepEqual(hubSettings(), {
      endpoint: "https://huggingface.co",
      token: undefined,
      offline: false,
    }));
  const all = { HF_ENDPOINT: "http://hub.test/", HF_TOKEN: " hf_x\n", HF_HUB_OFFLINE: "1" };
  await withVariables(all, () =>
    assert.deepEqual(hubSettings(), {
      endpoint: "http://hub.test",
      token: "hf_x",
      offline: true,
    }));
  for (const endpoint of ["hub.test", "file:///etc", "javascript:0"]) {
    await withVariables(
      { HF_ENDPOINT: endpoint },
      () => assert.throws(hubSettings, /Expected HF_ENDPOINT to be the http or https address/),
    );
  }
});

Deno.test("hub: a path that exists goes before a name in the cache", () =>
  inTemporaryDirectory(async (cache) => {
    const commit = "0".repeat(40);
    for (const name of ["fixtures--model", "org--name"]) {
      await Deno.mkdir(`${cache}/models--${name}/snapshots/${commit}`, { recursive: true });
      await Deno.mkdir(`${cache}/models--${name}/refs`);
      await Deno.writeTextFile(`${cache}/models--${name}/refs/main`, commit);
    }
    await withVariables({ HF_HUB_CACHE: cache }, async () => {
      assert.equal(await locate("model", "fixtures/model"), "fixtures/model");
      const snapshot = `${cache}/models--org--name/snapshots/${commit}`;
      assert.equal(await locate("model", "org/name"), snapshot);
      assert.equal(await locate("model", `org/name@${commit}`), snapshot);
      assert.equal(await locate("model", "./no/such/path"), "./no/such/path");
      for (const absent of ["org/other", "org/name@v2", `org/name@${"1".repeat(40)}`]) {
        await assert.rejects(locate("model", absent), /no model of that name in the hub's cache/);
      }
      await assert.rejects(locate("dataset", "org/name"), /download --dataset org\/name"/);
    });
  }));
