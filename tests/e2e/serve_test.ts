/** The server as a user runs it, and clients in processes of their own. */
import assert from "node:assert/strict";
import denoConfig from "../../deno.json" with { type: "json" };

const decoder = new TextDecoder();

/** Lines of a stream as they come. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

interface Server extends AsyncDisposable {
  address: string;
  process: Deno.ChildProcess;
  /** What it has said so far. */
  said: string[];
}

async function serve(...flags: string[]): Promise<Server> {
  // The task's own words, without `deno task` between us and the server's signals.
  const [, ...task] = denoConfig.tasks.serve.split(" ");
  const process = new Deno.Command(Deno.execPath(), {
    args: [...task, "--port", "0", "--served-model-name", "policy", ...flags],
    env: { SMOLDPO_API_KEY: "secret", NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  (async () => {
    for await (const line of linesOf(process.stderr)) {
      said.push(line);
      const address = /^listening +http:\/\/(\S+)/.exec(line)?.[1];
      if (address) resolve(address);
    }
    reject(new Error(`The server ended: ${said.join("\n")}`));
  })();
  const address = await promise;
  return {
    address,
    process,
    said,
    async [Symbol.asyncDispose]() {
      try {
        process.kill("SIGKILL");
      } catch { /* has ended */ }
      await process.status;
    },
  };
}

function client(address: string, job: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-A", "tests/e2e/openai_client.ts", address, job],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

const headers = { authorization: "Bearer secret" };
const loadOf = async (address: string) =>
  (await (await fetch(`http://${address}/ready`, { headers })).json()).load;

async function until(condition: () => Promise<boolean>, timeoutMs: number): Promise<number> {
  const began = performance.now();
  while (!await condition()) {
    assert.ok(performance.now() - began < timeoutMs, `not within ${timeoutMs} ms`);
    await new Promise((next) => setTimeout(next, 5));
  }
  return performance.now() - began;
}

Deno.test("OpenAI's client works with the server unchanged", async () => {
  await using server = await serve("--reference", "fixtures/model");
  const { code, stdout, stderr } = await client(server.address, "conformance").output();
  assert.equal(code, 0, decoder.decode(stderr));
  const { content, streamed, ...rest } = JSON.parse(decoder.decode(stdout));
  assert.match(content, /honey/);
  assert.equal(streamed, content);
  assert.deepEqual(rest, {
    models: ["policy", "model"],
    sameUsage: true,
    repeated: true,
    errors: {
      wrongKey: "AuthenticationError 401",
      wrongModel: "NotFoundError 404",
      wrongField: "BadRequestError 400",
    },
  });
});

Deno.test("a killed client frees its slots; a terminated server lets answers finish", async () => {
  await using server = await serve("--max-model-len", "512");
  const { address } = server;
  for (const job of ["stream", "plain", "stream", "plain"]) {
    const process = client(address, job);
    await until(async () => (await loadOf(address)).running > 0, 60_000);
    process.kill("SIGKILL");
    await process.output();
    // Noticed within tens of milliseconds, and then at most one submit; twice as much on shared cores.
    await until(async () => (await loadOf(address)).running === 0, 2000);
    const { cacheRows, freeCacheRows } = await loadOf(address);
    assert.equal(freeCacheRows, cacheRows);
  }

  const answering = fetch(`http://${address}/v1/completions`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ prompt: "The", max_tokens: 100, ignore_eos: true }),
  });
  await until(async () => (await loadOf(address)).running > 0, 10_000);
  server.process.kill("SIGTERM");
  const answer = await answering;
  assert.equal((await answer.json()).usage.completion_tokens, 100);
  assert.equal((await server.process.status).code, 0);
});

Deno.test("a port in use, a model that is not there and a missing key are said in one line", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const run = async (...flags: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["task", "serve", ...flags],
      env: { NO_COLOR: "1" },
    }).output();
    return { code, text: decoder.decode(stderr) };
  };
  const busy = await run("--port", String(port));
  assert.equal(busy.code, 2);
  assert.match(busy.text, new RegExp(`error: Expected port ${port} to be free`));
  listener.close();
  const open = await run("--host", "0.0.0.0");
  assert.equal(open.code, 2);
  assert.match(open.text, /error: Expected a key in SMOLDPO_API_KEY for --host 0\.0\.0\.0/);
  const missing = await run("--model", "runs/nothing-here");
  assert.equal(missing.code, 2);
  assert.match(missing.text, /error: Cannot open runs\/nothing-here|error: .*runs\/nothing-here/);
});
