/** The server as a user runs it, and clients in processes of their own. */
import assert from "node:assert/strict";
import { unless } from "../skip.ts";
import { RawConnection } from "./raw_http.ts";
import { ask, headers, linesOf, loadOf, serve, serveAs, TASK, until } from "./server.ts";

const decoder = new TextDecoder();
/** As long a server lets an idle connection be: one that waits for it takes longer than this. */
const KEEP_ALIVE_MS = 75_000;

function client(address: string, job: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-A", "tests/e2e/openai_client.ts", address, job],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
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

Deno.test("OpenAI's client trains a model within the server, which answers at once and can be served again", async () => {
  await using server = await serve("--max-model-len", "256", "--shutdown-timeout", "300");
  const { code, stdout, stderr } = await client(server.address, "training").output();
  assert.equal(code, 0, decoder.decode(stderr));
  const { output, other, ...rest } = JSON.parse(decoder.decode(stdout));
  try {
    assert.deepEqual(rest, {
      files: ["fixtures", "fixtures-eval"],
      statuses: ["running", "running", "succeeded", "cancelled"],
      answered: [true, true],
      model: "ft:policy:mine",
      models: ["policy", "ft:policy:mine"],
      steps: [4, 3, 2, 1],
      last: "New model: ft:policy:mine",
      wrong: [400, "file_not_found"],
      listed: true,
    });
    // A job that runs when the server ends leaves a checkpoint, and the server ends as it should.
    const begun = await fetch(`http://${server.address}/v1/fine_tuning/jobs`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({
        model: "ft:policy:mine",
        training_file: "fixtures",
        method: { type: "dpo", dpo: { hyperparameters: { batch_size: 2 } } },
        smoldpo: { max_steps: 100_000, max_length: 64, truncation: "prompt_first" },
      }),
    });
    const { id, smoldpo } = await begun.json();
    const events = await fetch(`http://${server.address}/v1/fine_tuning/jobs/${id}/events`, {
      headers: { ...headers, accept: "text/event-stream" },
    });
    let last = "";
    for await (const line of linesOf(events.body!)) {
      if (/"step":1,/.test(line)) server.process.kill("SIGTERM");
      if (/"fine_tuning.job.event"/.test(line)) last = line;
    }
    assert.match(last, /the job goes on when it is started again/);
    assert.equal((await server.process.status).code, 0, server.said.join("\n"));
    const kept = await Array.fromAsync(Deno.readDir(`${smoldpo.output}/checkpoints`));
    assert.match(kept.map(({ name }) => name).join(), /^step-\d+$/);
    await Deno.remove(smoldpo.output, { recursive: true });
    await using again = await serve("--model", output, "--max-trained-models", "0");
    assert.ok(again.address);
  } finally {
    for (const path of [output, other]) await Deno.remove(path, { recursive: true });
  }
});

Deno.test("a terminated server lets answers finish, and waits for nothing else", async () => {
  await using server = await serve("--max-model-len", "512");
  const { address } = server;
  using kept = await RawConnection.open(address);
  await kept.send("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  await kept.receive((text) => text.endsWith("}"));
  using begun = await RawConnection.open(address);
  await begun.send("GET /health HTTP/1.1\r\nHost:");
  const answering = fetch(`http://${address}/v1/completions`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ prompt: "The", max_tokens: 100, ignore_eos: true }),
  });
  await until(async () => (await loadOf(address)).running > 0, 10_000);
  server.process.kill("SIGTERM");
  const answer = await answering;
  assert.equal((await answer.json()).usage.completion_tokens, 100);
  const began = performance.now();
  assert.equal((await server.process.status).code, 0);
  assert.ok(performance.now() - began < KEEP_ALIVE_MS, "it waited for what nobody asks");
});

Deno.test("a terminated server breaks off what takes longer than --shutdown-timeout, and says so", async () => {
  await using server = await serve("--max-model-len", "512", "--shutdown-timeout", "1");
  const { address } = server;
  using begun = await RawConnection.open(address);
  await begun.send(
    "POST /v1/tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\n",
  );
  await begun.send("Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{");
  const body = { prompt: "The", max_tokens: 400, ignore_eos: true, n: 32, stream: true };
  const stream = await ask(address, "/v1/completions", body);
  const began = performance.now();
  server.process.kill("SIGTERM");
  const text = await stream.text();
  assert.doesNotMatch(text, /\[DONE\]/);
  assert.match(text, /"error":/);
  assert.equal((await server.process.status).code, 0);
  assert.ok(performance.now() - began < KEEP_ALIVE_MS, "it ended soon");
});

const lackOfIpv6 = canListen("::1") ? null : "no IPv6 on this machine";
Deno.test(
  unless(lackOfIpv6, "a server on ::1 needs no key, and takes an origin with a slash behind it"),
  async () => {
    const flags = ["--host", "::1", "--cors-origin", "https://App.example/"];
    await using server = await serveAs(TASK, { SMOLDPO_API_KEY: "" }, ...flags);
    const origin = "https://app.example";
    const reply = await fetch(`http://${server.address}/v1/models`, { headers: { origin } });
    assert.equal(reply.status, 200, await reply.text());
    assert.equal(reply.headers.get("access-control-allow-origin"), origin);
  },
);

function canListen(hostname: string): boolean {
  try {
    Deno.listen({ hostname, port: 0 }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  }
}

Deno.test("a port in use, no address, a model that is not there, a missing key and wrong places are said in one line", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const run = async (...flags: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["task", "serve", ...flags],
      env: { NO_COLOR: "1", SMOLDPO_API_KEY: "" }, // empty: none
    }).output();
    return { code, text: decoder.decode(stderr) };
  };
  const cases: [flags: string[], error: RegExp][] = [
    [["--port", `${port}`], new RegExp(`Expected port ${port} to be free`)],
    [["--host", "0.0.0.0"], /Expected a key in SMOLDPO_API_KEY for --host 0\.0\.0\.0/],
    [
      ["--host", "a b", "--api-key", "k"],
      /Expected --host to be a name or an address, found "a b"/,
    ],
    [["--cors-origin", "*"], /Expected --cors-origin to be one origin, .* found "\*"/],
    [["--cors-origin", "https://a.example,https://b.example"], /Expected --cors-origin to be one/],
    [["--output", "elsewhere"], /Expected --output to be runs, .* found elsewhere/],
    [["--training-files", "fixtures/pairs/train.jsonl"], /Expected --training-files as NAME=PATH/],
    [["--preferences", "elsewhere.db"], /Cannot write elsewhere\.db: expected a file in runs\//],
    [["--model", "runs/nothing-here"], /.*runs\/nothing-here/],
  ];
  await Promise.all(cases.map(async ([flags, error]) => {
    const { code, text } = await run(...flags);
    assert.equal(code, 2, text);
    assert.match(text, new RegExp(`error: ${error.source}`));
  }));
  listener.close();
});
