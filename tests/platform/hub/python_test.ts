import assert from "node:assert/strict";
import { inTemporaryDirectory } from "../../e2e/command.ts";
import { cachedSnapshot } from "../../../src/platform/hub/cache.ts";
import { downloadFiles } from "../../../src/platform/hub/download.ts";
import { rememberFiles } from "../../../src/platform/hub/files_of_commit.ts";
import { listRepo } from "../../../src/platform/hub/listing.ts";
import { parseRepo } from "../../../src/platform/hub/repo.ts";
import { askPython, lackOfPython } from "../../python.ts";
import { unless } from "../../skip.ts";
import { StandInHub } from "./stand_in_hub.ts";

interface Answer {
  version: string;
  warnings: string[];
  repos: string[];
  model: Record<string, string>;
  dataset: Record<string, string>;
  fetched: string;
}

/** Asks Python's library. */
function askHub(
  request: Record<string, string>,
  env: Record<string, string>,
): Promise<Answer> {
  return askPython<Answer>(new URL("hub_peer.py", import.meta.url), request, {
    ...{ HF_HUB_DISABLE_TELEMETRY: "1", HF_HUB_DISABLE_PROGRESS_BARS: "1" },
    ...env,
  });
}

const lack = await lackOfPython("huggingface_hub");
Deno.test(unless(lack, "Python's huggingface_hub and this project share one cache"), async () => {
  await inTemporaryDirectory(async (cache) => {
    await using hub = new StandInHub();
    const files = { "config.json": "{}", "model.safetensors": "weights".repeat(1000) };
    const rows = { "data/train.jsonl": '{"text": "a"}\n'.repeat(100), "README.md": "#" };
    hub.add("models/org/name", files);
    hub.add("datasets/org/rows", rows);
    hub.add("models/org/theirs", files);
    const settings = { endpoint: hub.endpoint, token: undefined, offline: false };
    for (const repo of [parseRepo("model", "org/name")!, parseRepo("dataset", "org/rows")!]) {
      const listing = await listRepo(repo, settings);
      const snapshot = await downloadFiles(listing, listing.files, { settings, cache });
      await rememberFiles(snapshot, listing.files.map(({ path }) => path));
    }

    const env = { HF_HUB_CACHE: cache };
    const names = { model: "org/name", dataset: "org/rows" };
    const answer = await askHub(names, { ...env, HF_HUB_OFFLINE: "1" });
    console.log(`huggingface_hub ${answer.version}`);
    assert.deepEqual(answer.warnings, []);
    assert.deepEqual(answer.repos, ["org/name", "org/rows"]);
    assert.deepEqual(answer.model, files);
    assert.deepEqual(answer.dataset, rows);

    const theirs = await askHub({ fetch: "org/theirs" }, { ...env, HF_ENDPOINT: hub.endpoint });
    const snapshot = await cachedSnapshot(cache, parseRepo("model", "org/theirs")!);
    assert.equal(await Deno.realPath(snapshot!), await Deno.realPath(theirs.fetched));
    for (const [name, text] of Object.entries(files)) {
      assert.equal(await Deno.readTextFile(`${snapshot}/${name}`), text);
    }
    const listing = await listRepo(parseRepo("model", "org/theirs")!, settings);
    const before = hub.hubRequests.length;
    await downloadFiles(listing, listing.files, { settings, cache });
    assert.equal(hub.hubRequests.length, before, "blobs of theirs are not fetched again");
  });
});
