import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { openCheckpointStorage, sha256 } from "../../src/platform/checkpoint_storage.ts";
import { openDirectory } from "../../src/platform/files.ts";
import {
  type CheckpointContent,
  type CheckpointStorage,
  openCheckpoint,
  openLatestCheckpoint,
  saveCheckpoint,
} from "../../src/train/checkpoint.ts";

async function inStorage(test: (storage: CheckpointStorage) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir();
  try {
    await test(await openCheckpointStorage(`${path}/checkpoints`));
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

function content(step: number): CheckpointContent {
  return {
    tensors: [
      { name: "w", shape: [2, 2], data: Float32Array.of(step, -0, 2 ** -149, 1 / 3) },
      { name: "w.exp_avg", shape: [1], data: () => Promise.resolve(Float32Array.of(-step)) },
    ],
    state: { step, seed: 42, lossScale: 65536, position: { epoch: 1, row: 7 } },
  };
}

const noWarning = (message: string) => assert.fail(message);
const steps = async (storage: CheckpointStorage) => (await storage.list()).sort();

Deno.test("checkpoint: comes back bit for bit", () =>
  inStorage(async (storage) => {
    assert.equal(await openLatestCheckpoint(storage, noWarning), null);
    await saveCheckpoint(storage, 3, content(3), 2);
    const checkpoint = (await openLatestCheckpoint(storage, noWarning))!;
    assert.equal(checkpoint.step, 3);
    assert.deepEqual(checkpoint.state, content(3).state);
    assert.deepEqual(checkpoint.tensorNames.sort(), ["w", "w.exp_avg"]);
    assert.deepEqual(await checkpoint.readFloat32("w"), Float32Array.of(3, -0, 2 ** -149, 1 / 3));
    assert.deepEqual(await checkpoint.readFloat32("w.exp_avg"), Float32Array.of(-3));
    await assert.rejects(
      async () => await checkpoint.readFloat32("v"),
      /expected tensor "v", found none/,
    );
    checkpoint.close();
  }));

Deno.test("checkpoint: the manifest says what sha256sum says", () =>
  inStorage(async (storage) => {
    await saveCheckpoint(storage, 3, content(3), 2);
    const path = `${storage.name}/step-3`;
    const { step, files } = JSON.parse(await Deno.readTextFile(`${path}/manifest.json`));
    assert.equal(step, 3);
    assert.deepEqual(Object.keys(files), ["tensors.safetensors", "state.json"]);
    for (const [name, { bytes, sha256 }] of Object.entries<Record<string, unknown>>(files)) {
      const content = await Deno.readFile(`${path}/${name}`);
      assert.equal(bytes, content.length);
      assert.equal(sha256, new Uint8Array(await crypto.subtle.digest("SHA-256", content)).toHex());
    }
  }));

Deno.test("checkpoint: only the newest are kept, and this one always", () =>
  inStorage(async (storage) => {
    for (const step of [8, 9, 10, 100]) await saveCheckpoint(storage, step, content(step), 2);
    assert.deepEqual(await steps(storage), ["step-10", "step-100"]);
    // Resumed from step 10, so 100 belongs to a course that was given up.
    await saveCheckpoint(storage, 11, content(11), 2);
    assert.deepEqual(await steps(storage), ["step-10", "step-11"]);
    await saveCheckpoint(storage, 5, content(5), 1);
    assert.deepEqual(await steps(storage), ["step-5"]);
  }));

Deno.test("checkpoint: saving a step again replaces it", () =>
  inStorage(async (storage) => {
    await saveCheckpoint(storage, 3, content(3), 2);
    await saveCheckpoint(storage, 3, { ...content(3), state: { again: true } }, 2);
    const checkpoint = (await openLatestCheckpoint(storage, noWarning))!;
    assert.deepEqual(checkpoint.state, { again: true });
    checkpoint.close();
    assert.deepEqual(await Array.fromAsync(Deno.readDir(storage.name), ({ name }) => name), [
      "step-3",
    ]);
  }));

Deno.test("checkpoint: any damage is noticed, and the one before is taken", async (test) => {
  const damages: Record<string, (path: string) => Promise<void>> = {
    "a flipped bit in the weights": async (path) => {
      const bytes = await Deno.readFile(`${path}/tensors.safetensors`);
      bytes[bytes.length - 5] ^= 1;
      await Deno.writeFile(`${path}/tensors.safetensors`, bytes);
    },
    "weights cut off": (path) => Deno.truncate(`${path}/tensors.safetensors`, 100),
    "weights missing": (path) => Deno.remove(`${path}/tensors.safetensors`),
    "another state": (path) => Deno.writeTextFile(`${path}/state.json`, "{}"),
    "manifest missing": (path) => Deno.remove(`${path}/manifest.json`),
    "manifest empty": (path) => Deno.writeTextFile(`${path}/manifest.json`, ""),
    "manifest of nothing": (path) => Deno.writeTextFile(`${path}/manifest.json`, "{}"),
    "manifest without files": (path) =>
      Deno.writeTextFile(`${path}/manifest.json`, '{"step": 2, "files": {}}'),
  };
  for (const [name, damage] of Object.entries(damages)) {
    await test.step(name, () =>
      inStorage(async (storage) => {
        await saveCheckpoint(storage, 1, content(1), 9);
        await saveCheckpoint(storage, 2, content(2), 9);
        await damage(`${storage.name}/step-2`);
        const warnings: string[] = [];
        const checkpoint = (await openLatestCheckpoint(storage, (text) => warnings.push(text)))!;
        assert.equal(checkpoint.step, 1);
        checkpoint.close();
        assert.equal(warnings.length, 1);
        assert.match(warnings[0], /step-2.*falling back to the checkpoint before it$/);
        await assert.rejects(
          openDirectory(`${storage.name}/step-2`).then((folder) => openCheckpoint(folder, sha256)),
          UserError,
        );
        await damage(`${storage.name}/step-1`);
        await assert.rejects(
          openLatestCheckpoint(storage, () => {}),
          /expected an undamaged checkpoint, found 2 damaged/,
        );
      }));
  }
});

Deno.test("checkpoint: a failed save leaves the older ones and nothing else", () =>
  inStorage(async (storage) => {
    await saveCheckpoint(storage, 1, content(1), 1);
    const broken = { tensors: [{ name: "w", shape: [1], data: Float32Array.of(NaN) }], state: {} };
    await assert.rejects(saveCheckpoint(storage, 2, broken, 1), /Cannot save "w"/);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(storage.name), ({ name }) => name), [
      "step-1",
    ]);
  }));

Deno.test("checkpoint: what a killed process left is tidied up", () =>
  inStorage(async (storage) => {
    await saveCheckpoint(storage, 1, content(1), 2);
    await saveCheckpoint(storage, 2, content(2), 2);
    await Deno.rename(`${storage.name}/step-2`, `${storage.name}/.tmp-old-step-2`);
    await Deno.mkdir(`${storage.name}/.tmp-old-step-1`);
    await Deno.mkdir(`${storage.name}/.tmp-new-step-3`);
    await Deno.mkdir(`${storage.name}/.tmp-removed-step-0`);
    const reopened = await openCheckpointStorage(storage.name);
    const found = await Array.fromAsync(Deno.readDir(storage.name), ({ name }) => name);
    assert.deepEqual(found.sort(), ["step-1", "step-2"]);
    const checkpoint = (await openLatestCheckpoint(reopened, noWarning))!;
    assert.equal(checkpoint.step, 2);
    checkpoint.close();
  }));

Deno.test("checkpoint: a writer killed at any moment loses at most the save it was at", async () => {
  const path = await Deno.makeTempDir();
  let saved = 0;
  try {
    for (let kill = 0; kill < 20; kill++) {
      const lines = await runUntilKilled(path, 1 + kill % 7, Math.random() * 10);
      assert.deepEqual(lines.filter((line) => line.startsWith("warning")), []);
      const [resumed, ...saves] = lines.map((line) => Number(line.split(" ")[1]));
      // One save may have been finished without its line having been written.
      assert.ok(resumed === saved || resumed === saved + 1, `resumed at ${resumed} after ${saved}`);
      saved = saves.at(-1) ?? resumed;
    }
    const checkpoint = (await openLatestCheckpoint(await openCheckpointStorage(path), noWarning))!;
    assert.deepEqual(checkpoint.state, { step: checkpoint.step });
    assert.equal((await checkpoint.readFloat32("w"))[0], checkpoint.step);
    checkpoint.close();
    assert.ok(saved >= 20, "the writer got somewhere");
  } finally {
    await Deno.remove(path, { recursive: true });
  }
});

/** Starts the writer, kills it `delayMs` after it has written `count` lines, and returns all its lines. */
async function runUntilKilled(path: string, count: number, delayMs: number): Promise<string[]> {
  const script = new URL("checkpoint_writer.ts", import.meta.url).pathname;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "--allow-write", script, path],
    stdout: "piped",
  }).spawn();
  let text = "", isDoomed = false;
  for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (isDoomed || text.split("\n").length <= count) continue;
    isDoomed = true;
    setTimeout(() => process.kill("SIGKILL"), delayMs);
  }
  await process.status;
  return text.trimEnd().split("\n");
}
