/** The server as a user runs it: `deno task serve` in a process of its own. */
import assert from "node:assert/strict";
import { ignoreMissing } from "../../src/platform/files.ts";
import denoConfig from "../../deno.json" with { type: "json" };

const decoder = new TextDecoder();

/** Lines of a stream as they come. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

export interface Server extends AsyncDisposable {
  address: string;
  process: Deno.ChildProcess;
  /** What it has said so far. */
  said: string[];
}

/** The words of the task, without `deno task` between us and the server's signals. */
export const [, ...TASK] = denoConfig.tasks.serve.split(" ");

export function serve(...flags: string[]): Promise<Server> {
  return serveAs(TASK, {}, ...flags);
}

/**
 * {@link serve} by other words than the task's, or with more in its environment. Without `--output` it has a folder of its own,
 * which goes with it: jobs outlast a server.
 */
export async function serveAs(
  task: readonly string[],
  env: Record<string, string>,
  ...flags: string[]
): Promise<Server> {
  const output = `runs/.test-${crypto.randomUUID()}`; // the server may write in runs/ alone
  const own = flags.includes("--output") ? [] : ["--output", output];
  const process = new Deno.Command(Deno.execPath(), {
    args: [...task, "--port", "0", "--served-model-name", "policy", ...own, ...flags],
    env: { SMOLDPO_API_KEY: "secret", NO_COLOR: "1", ...env },
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
      await Deno.remove(output, { recursive: true }).catch(ignoreMissing);
    },
  };
}

/** What requests must bring. */
export const headers = { authorization: "Bearer secret" };

/** Asks the server; a body is posted as JSON. */
export function ask(address: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`http://${address}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { ...headers, ...body === undefined ? {} : { "content-type": "application/json" } },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

/** What the server says of its load, once its GPU has time for that. */
export async function loadOf(address: string) {
  for (;;) {
    const response = await ask(address, "/ready");
    const { load } = await response.json();
    if (response.ok) return load;
    assert.equal(response.status, 504);
  }
}

/** Waits for a condition. @returns How long it took, in milliseconds. */
export async function until(condition: () => Promise<boolean>, timeoutMs: number): Promise<number> {
  const began = performance.now();
  while (!await condition()) {
    assert.ok(performance.now() - began < timeoutMs, `not within ${timeoutMs} ms`);
    await new Promise((next) => setTimeout(next, 5));
  }
  return performance.now() - began;
}
