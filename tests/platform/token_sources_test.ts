import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import { hashTokenSources, ROOMS } from "../../src/platform/token_sources.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";

const SOURCES = new URL("../../src/", import.meta.url);

Deno.test("the digest of what makes tokens follows every file of it", () =>
  inTemporaryDirectory(async (path) => {
    for (const room of ROOMS) {
      await Deno.mkdir(`${path}/${room}`);
      await Deno.writeTextFile(`${path}/${room}/a.ts`, "one");
    }
    const hash = () => hashTokenSources(pathToFileURL(`${path}/`));
    const before = await hash();
    assert.equal(await hash(), before);
    for (const room of ROOMS) {
      await Deno.writeTextFile(`${path}/${room}/a.ts`, "two");
      assert.notEqual(await hash(), before, room);
      await Deno.writeTextFile(`${path}/${room}/a.ts`, "one");
      assert.equal(await hash(), before);
    }
    assert.notEqual(await hashTokenSources(), before);
  }));

Deno.test("no code that makes tokens lies elsewhere", async () => {
  // It reads rows of every kind.
  const args = ["info", "--json", fileURLToPath(new URL("data/answers.ts", SOURCES))];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout));
  const files: string[] = modules.map(({ specifier }: { specifier: string }) => specifier)
    .filter((specifier: string) => specifier.startsWith(SOURCES.href))
    .map((specifier: string) => specifier.slice(SOURCES.href.length));
  assert.ok(files.length > 10);
  const elsewhere = files.filter((file) => !ROOMS.includes(file.slice(0, file.lastIndexOf("/"))));
  // The name of an error, and the tables of options and losses: their values are in a cache's key.
  const tables = /^(?:config|losses)\//;
  const others = elsewhere.filter((file) => file !== "errors.ts" && !tables.test(file));
  assert.deepEqual(others, []);
});
