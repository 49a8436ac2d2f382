import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { currentCommit } from "../../src/platform/commit.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

async function commitOf(files: Record<string, string>): Promise<string | null> {
  const path = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${path}/refs/heads`, { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${path}/${name}`, text);
    }
    return await currentCommit(pathToFileURL(`${path}/`));
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

Deno.test("the commit is found on a branch, on a packed branch, and off any branch", async () => {
  const head = "ref: refs/heads/main\n";
  assert.equal(await commitOf({ HEAD: head, "refs/heads/main": `${COMMIT}\n` }), COMMIT);
  const packed = `# pack-refs with: peeled\n${COMMIT} refs/heads/main\n`;
  assert.equal(await commitOf({ HEAD: head, "packed-refs": packed }), COMMIT);
  assert.equal(await commitOf({ HEAD: `${COMMIT}\n` }), COMMIT);
});

Deno.test("outside of a checkout there is no commit", async () => {
  assert.equal(await commitOf({}), null);
});

Deno.test("in a linked checkout, where .git is a file, the commit is unknown", async () => {
  const file = await Deno.makeTempFile();
  assert.equal(await currentCommit(pathToFileURL(`${file}/`)), null);
  await Deno.remove(file);
});
