import assert from "node:assert/strict";
import { startPython } from "../../src/platform/python.ts";

/** Programs for Deno, which stands in for Python here. */
async function withProgram(text: string, body: (script: URL) => Promise<void>) {
  const path = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(path, text);
    await body(new URL(`file://${path}`));
  } finally {
    await Deno.remove(path);
  }
}

const deno = [Deno.execPath()];

Deno.test("a program says hello, answers line by line, and ends with its input", async () => {
  const echo = `
    import { createInterface } from "node:readline";
    console.log(JSON.stringify({ version: 1 }));
    for await (const line of createInterface({ input: process.stdin })) console.log(line);
  `;
  await withProgram(`import process from "node:process";${echo}`, async (script) => {
    const program = await startPython(script, ["no-such-python", ...deno]);
    assert.ok("hello" in program);
    await using asked = program;
    assert.deepEqual(asked.hello, { version: 1 });
    for (const question of [{ text: "ä\n" }, { many: Array(50_000).fill(7) }]) {
      assert.deepEqual(await asked.ask(question), question);
    }
  });
});

Deno.test("where no Python has the libraries, the reasons are told", async () => {
  await withProgram('console.error("No module named torch"); Deno.exit(3);', async (script) => {
    assert.deepEqual(await startPython(script, ["no-such-python", ...deno]), {
      missing: `no-such-python: not found; ${Deno.execPath()}: No module named torch`,
    });
  });
});

Deno.test("a program that fails says why", async () => {
  await withProgram('throw new Error("out of order")', async (script) => {
    await assert.rejects(() => startPython(script, deno), /failed: .*/);
  });
  const mute = 'console.log("{}"); for await (const _ of Deno.stdin.readable) Deno.exit(1);';
  await withProgram(mute, async (script) => {
    const program = await startPython(script, deno);
    assert.ok("hello" in program);
    await assert.rejects(() => program.ask({}), /failed: /);
    await program[Symbol.asyncDispose]();
  });
});
