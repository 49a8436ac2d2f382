import assert from "node:assert/strict";
import { UserError } from "../../../src/errors.ts";
import { cachedSnapshot } from "../../../src/platform/hub/cache.ts";
import { downloadFiles } from "../../../src/platform/hub/download.ts";
import { listRepo } from "../../../src/platform/hub/listing.ts";
import { parseRepo } from "../../../src/platform/hub/repo.ts";
import type { HubSettings } from "../../../src/platform/hub/settings.ts";
import { StandInHub } from "./stand_in_hub.ts";

const LARGE = Uint8Array.from({ length: 300_000 }, (_, i) => i * i % 251);
const FILES = {
  "config.json": "{}",
  "model.safetensors": LARGE,
  "tokenizer.json": '{"version": "1.0"}',
  "data/é %20.jsonl": "{}\n",
  "empty.txt": "",
};

interface Fixture {
  hub: StandInHub;
  cache: string;
  commit: string;
  /** Downloads everything of `org/name`. */
  download(more?: Partial<HubSettings>): Promise<string>;
}

async function withHub(body: (fixture: Fixture) => Promise<void>): Promise<void> {
  const cache = await Deno.makeTempDir();
  try {
    await using hub = new StandInHub();
    const { commit } = hub.add("models/org/name", FILES);
    const download = async (more = {}) => {
      const settings = { endpoint: hub.endpoint, token: undefined, offline: false, ...more };
      const listing = await listRepo(parseRepo("model", "org/name")!, settings);
      return await downloadFiles(listing, listing.files, { settings, cache });
    };
    await body({ hub, cache, commit, download });
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

async function rejects(action: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(action, (error) => {
    assert.ok(error instanceof UserError, `${(error as Error).stack}`);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

/** The names under a folder of the cache, links marked. */
async function tree(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory, isSymlink } of Deno.readDir(path)) {
    if (isDirectory) {
      names.push(...(await tree(`${path}/${name}`)).map((below) => `${name}/${below}`));
    } else names.push(isSymlink ? `${name} ->` : name);
  }
  return names.sort();
}

/** The address of a hub that is gone. */
async function closedEndpoint(): Promise<string> {
  await using hub = new StandInHub();
  return hub.endpoint;
}

const blobsOf = ({ cache }: Pick<Fixture, "cache">) => tree(`${cache}/models--org--name/blobs`);
const isCached = async ({ cache }: Pick<Fixture, "cache">) =>
  await cachedSnapshot(cache, parseRepo("model", "org/name")!) !== null;

Deno.test("hub: files arrive in the cache's layout, and a second time nothing is fetched", () =>
  withHub(async ({ hub, cache, commit, download }) => {
    const snapshot = await download();
    assert.equal(snapshot, `${cache}/models--org--name/snapshots/${commit}`);
    for (const [path, content] of Object.entries(FILES)) {
      const expected = typeof content === "string" ? new TextEncoder().encode(content) : content;
      assert.deepEqual(await Deno.readFile(`${snapshot}/${path}`), expected, path);
    }
    assert.equal(await Deno.readTextFile(`${cache}/models--org--name/refs/main`), commit);
    assert.ok((await tree(snapshot)).every((name) => name.endsWith("->")), "all are links");
    assert.equal((await blobsOf({ cache })).length, 5);
    const link = await Deno.readLink(`${snapshot}/config.json`);
    assert.match(link, /^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/, "links survive a move of the cache");
    assert.equal(await cachedSnapshot(cache, parseRepo("model", "org/name")!), snapshot);
    assert.equal(await cachedSnapshot(cache, parseRepo("model", `org/name@${commit}`)!), snapshot);
    assert.equal(await cachedSnapshot(cache, parseRepo("dataset", "org/name")!), null);

    const before = hub.hubRequests.length;
    assert.equal(await download(), snapshot);
    const again = hub.hubRequests.slice(before).map(({ path }) => path);
    assert.ok(again.length > 0 && again.every((path) => path.startsWith("/api/")), `${again}`);
  }));

Deno.test("hub: only the hub sees the token, not the host that large files lie on", () =>
  withHub(async ({ hub, download }) => {
    hub.requiredToken = "hf_secret";
    await rejects(
      download(),
      /Cannot list model org\/name: there is no such repository, or it is private.*HF_TOKEN/,
    );
    await rejects(download({ token: "hf_wrong" }), /does not accept HF_TOKEN/);
    await download({ token: "hf_secret" });
    assert.equal(hub.storageRequests.length, 1);
    assert.equal(hub.storageRequests[0].authorization, null);
  }));

Deno.test("hub: a body that was tampered with is refused and not kept", () =>
  withHub(async ({ hub, cache, download }) => {
    for (const path of ["config.json", "model.safetensors"]) {
      hub.faults.set(path, ["tampered"]);
      await rejects(download(), new RegExp(`${path.replace(".", "\\.")}.*hash.*tampered with`));
      assert.equal(await isCached({ cache }), false);
      assert.deepEqual(
        (await blobsOf({ cache })).filter((name) => name.includes("incomplete")),
        [],
      );
      hub.faults.delete(path);
    }
    hub.faults.set("model.safetensors", ["longer"]);
    await rejects(download(), /model\.safetensors.*expected content with the hash/);
    hub.faults.clear();
    await download();
    assert.equal(await isCached({ cache }), true);
  }));

Deno.test("hub: a broken connection is taken up where it broke", () =>
  withHub(async ({ hub, download }) => {
    hub.faults.set("model.safetensors", ["truncated", "truncated", "truncated", "ignores ranges"]);
    const snapshot = await download();
    assert.deepEqual(await Deno.readFile(`${snapshot}/model.safetensors`), LARGE);
    const ranges = hub.storageRequests.map(({ range }) => range);
    assert.deepEqual(ranges, ["bytes=0-", "bytes=150000-", "bytes=225000-", "bytes=262500-"]);
  }));

Deno.test("hub: what a broken download left is checked and gone on with", () =>
  withHub(async ({ hub, cache, download }) => {
    hub.faults.set("model.safetensors", ["truncated"]);
    await rejects(
      download(),
      /model\.safetensors.*expected 300000 bytes, found the connection broken after 290625, 5 times; the same command/,
    );
    assert.equal(await isCached({ cache }), false, "an incomplete snapshot has no name");
    hub.faults.clear();
    hub.storageRequests.length = 0;
    const snapshot = await download();
    assert.deepEqual(await Deno.readFile(`${snapshot}/model.safetensors`), LARGE);
    assert.deepEqual(hub.storageRequests.map(({ range }) => range), ["bytes=290625-"]);

    // The rest of another file would not be noticed by its size.
    const [blob] = (await blobsOf({ cache })).filter((name) => name.length === 64);
    const path = `${cache}/models--org--name/blobs/${blob}`;
    await Deno.remove(path);
    await Deno.writeFile(`${path}.incomplete`, new Uint8Array(1000));
    await rejects(download(), /hash/);
    await download();
    assert.deepEqual(await Deno.readFile(`${snapshot}/model.safetensors`), LARGE);
  }));

Deno.test("hub: an interrupt keeps what has arrived", () =>
  withHub(async ({ hub, cache }) => {
    const settings = { endpoint: hub.endpoint, token: undefined, offline: false };
    const listing = await listRepo(parseRepo("model", "org/name")!, settings);
    const controller = new AbortController();
    const onProgress = ({ path }: { path: string }, doneBytes: number) => {
      if (path === "model.safetensors" && doneBytes > 0) controller.abort();
    };
    const options = { settings, cache, signal: controller.signal, onProgress };
    const files = listing.files.filter(({ path }) => path === "model.safetensors");
    hub.faults.set("model.safetensors", ["truncated"]);
    await assert.rejects(downloadFiles(listing, files, options), { name: "AbortError" });
    const [left] = await blobsOf({ cache });
    assert.match(left, /\.incomplete$/);
    const { size } = await Deno.stat(`${cache}/models--org--name/blobs/${left}`);
    assert.ok(size > 0 && size < LARGE.length, `${size}`);
  }));

Deno.test("hub: a busy host is asked again", () =>
  withHub(async ({ hub, cache, download }) => {
    hub.faults.set("model.safetensors", ["status 503", "status 503", "ignores ranges"]);
    await download();
    assert.equal(await isCached({ cache }), true);
  }));

Deno.test("hub: refusals say what to do", () =>
  withHub(async ({ hub, cache, download }) => {
    const settings = { endpoint: hub.endpoint, token: undefined, offline: false };
    for (const id of ["org/other", "org/name@v9"]) {
      const message = new RegExp(
        `Cannot list model ${id}: the hub has no such repository, revision`,
      );
      await rejects(listRepo(parseRepo("model", id)!, settings), message);
    }
    hub.faults.set("model.safetensors", ["missing"]);
    await rejects(
      download(),
      /Cannot download model\.safetensors.*no such repository, revision or file/,
    );
    hub.faults.set("model.safetensors", ["status 503"]);
    await rejects(download(), /status 503; try again later/);
    hub.gated = true;
    await rejects(download(), /gated: accept the repository's conditions/);
    await rejects(download({ token: "hf_x" }), /HF_TOKEN does not permit it/);
    await rejects(
      download({ endpoint: await closedEndpoint() }),
      /127\.0\.0\.1:\d+ cannot be reached/,
    );
    assert.equal(await isCached({ cache }), false);
  }));

Deno.test("hub: what is listed cannot reach outside the cache", () =>
  withHub(async ({ hub, cache, download }) => {
    const odd = ["../evil", "a/../../evil", "/etc/evil", "a\\..\\evil", "a//b", "C:x", "a\nb"];
    for (const path of odd) {
      hub.add("models/org/name", { [path]: "{}" });
      await rejects(download(), /expected paths within the repository from the hub/);
    }
    assert.deepEqual(await tree(cache), []);
  }));
