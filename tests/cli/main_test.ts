import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type Context, Interrupted } from "../../src/cli/context.ts";
import { main } from "../../src/cli/main.ts";
import { UserError } from "../../src/errors.ts";
import { MemoryOutput } from "./output.ts";
import { lackOfSignals, unless } from "../skip.ts";

async function call(words: string[], run: (context: Context) => void = () => {}) {
  const stdout = new MemoryOutput();
  const stderr = new MemoryOutput();
  const module = { run: (_: unknown, context: Context) => Promise.try(run, context) };
  // deno-lint-ignore no-explicit-any -- one module stands in for every command's
  const code = await main(words, stdout, stderr, () => Promise.resolve(module as any));
  return { code, stdout: stdout.text, stderr: stderr.text };
}

Deno.test("a command gets its options and gives the exit code", async () => {
  let seen: Context | undefined;
  const { code, stdout } = await call(["train", "--beta", "0.2"], (context) => {
    seen = context;
    context.stdout.write("done\n");
    throw new Interrupted();
  });
  assert.equal(code, 130);
  assert.equal(stdout, "done\n");
  assert.equal(seen?.resolved.options.beta, 0.2);
  assert.equal(seen?.signal.aborted, false);
});

Deno.test("a user's mistake is one line on stderr and exit code 2", async () => {
  const { code, stdout, stderr } = await call(["train", "--betta", "1"]);
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: Expected an option of train, found --betta: .*\n$/);
  const thrown = await call(["train"], () => {
    throw new UserError("Expected a model, found none");
  });
  assert.deepEqual(thrown, {
    code: 2,
    stdout: "",
    stderr: "error: Expected a model, found none\n",
  });
});

Deno.test("a defect shows its stack and exits with 1", async () => {
  const { code, stderr } = await call(["train"], () => {
    throw new TypeError("boom");
  });
  assert.equal(code, 1);
  assert.match(stderr, /^TypeError: boom\n +at /);
});

Deno.test("an unknown command names the nearest", async () => {
  const { code, stderr } = await call(["trian"]);
  assert.equal(code, 2);
  assert.match(stderr, /found "trian": did you mean train\?/);
});

Deno.test("help goes to stdout; without a command it is an error", async () => {
  assert.equal((await call(["--help"])).code, 0);
  assert.match((await call(["train", "--help"])).stdout, /^Usage: deno task train/);
  assert.equal((await call([])).code, 2);
});

Deno.test("--config reads a file, and names it in errors", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(file, '{"beta": 0.7, "max_length": 64}');
    const options: unknown[] = [];
    const note = ({ resolved }: Context) => {
      options.push(resolved.options.beta, resolved.options.maxLength, resolved.options.config);
      return 0;
    };
    assert.equal((await call(["train", "--config", file, "--max-length", "32"], note)).code, 0);
    assert.deepEqual(options, [0.7, 32, file]);

    const yaml = `${file}.yaml`;
    await Deno.writeTextFile(yaml, "# as in TRL\nbeta: 0.3\nlearning_rate: 1e-5\nmax-length: 64\n");
    assert.equal((await call(["train", "--config", yaml], note)).code, 0);
    assert.deepEqual(options.slice(3), [0.3, 64, yaml]);
    await Deno.writeTextFile(yaml, "beta: [");
    const wrong = await call(["train", "--config", yaml]);
    assert.equal(wrong.code, 2);
    assert.ok(wrong.stderr.startsWith(`error: Cannot read the configuration ${yaml}: `));
    await Deno.writeTextFile(yaml, "- beta");
    const list = await call(["train", "--config", yaml]);
    assert.match(list.stderr, /^error: Expected .* to hold options by name/);
    await Deno.remove(yaml);

    await Deno.writeTextFile(file, "{");
    const broken = await call(["train", "--config", file]);
    assert.equal(broken.code, 2);
    assert.ok(broken.stderr.startsWith(`error: Cannot read the configuration ${file}: `));
  } finally {
    await Deno.remove(file);
  }
  assert.match(
    (await call(["train", "--config", "none.json"])).stderr,
    /none\.json: .*No such file/,
  );
});

// In a process of its own: the test runner takes interrupts for itself.
Deno.test({
  ...unless(
    lackOfSignals,
    "an interrupt aborts the signal and lets the command finish; a second one ends it",
  ),
  async fn() {
    const child = (interrupts: string) =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--allow-all", fromFileUrl("interrupted_command.ts"), interrupts],
      }).output();
    const decoder = new TextDecoder();
    const once = await child("1");
    assert.equal(decoder.decode(once.stdout), "saved\n");
    assert.match(decoder.decode(once.stderr), /Interrupted: finishing the step/);
    assert.equal(once.code, 130);
    const twice = await child("2");
    assert.equal(decoder.decode(twice.stdout), "");
    assert.equal(twice.code, 130);
  },
});

Deno.test("a process ends with its command, though a thread of it hangs", async () => {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", fromFileUrl("hanging_thread.ts")],
    signal: AbortSignal.timeout(60_000), // kills it: another code then
  }).output();
  assert.equal(code, 0);
});

function fromFileUrl(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
