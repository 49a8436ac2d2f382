/** Bytes that are no HTTP, or HTTP at its edges: each gets what it should, and the next client notices nothing. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { RawConnection, rawRequest } from "./raw_http.ts";
import { ask, headers, loadOf, serve, until } from "./server.ts";

const OWN = `Host: 127.0.0.1\r\nAuthorization: ${headers.authorization}\r\n`;
const LAST = "Connection: close\r\n\r\n";
const POST = `POST /v1/tokenize HTTP/1.1\r\n${OWN}Content-Type: application/json\r\n`;
const BODY = '{"prompt":"a"}';

/** Requests with the status of each answer; 0: the server just closes. */
const CASES: Record<string, [request: string | Uint8Array, ...statuses: number[]]> = {
  "an ordinary one": [`GET /v1/models HTTP/1.1\r\n${OWN}${LAST}`, 200],
  "lines that end without a return": [
    "GET /health HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n",
    400,
  ],
  "a body in chunks": [
    `${POST}Transfer-Encoding: chunked\r\n${LAST}7\r\n${BODY.slice(0, 7)}\r\n7\r\n${
      BODY.slice(7)
    }\r\n0\r\n\r\n`,
    200,
  ],
  "a chunk without a size": [
    `${POST}Transfer-Encoding: chunked\r\n${LAST}zz\r\n${BODY}\r\n0\r\n\r\n`,
    400,
  ],
  "two lengths": [`${POST}Content-Length: 14\r\nContent-Length: 3\r\n${LAST}${BODY}`, 400],
  "a length and chunks": [
    `${POST}Content-Length: 14\r\nTransfer-Encoding: chunked\r\n${LAST}e\r\n${BODY}\r\n0\r\n\r\n`,
    400,
  ],
  "a length below nothing": [`${POST}Content-Length: -1\r\n${LAST}${BODY}`, 400],
  "a length beyond any number": [`${POST}Content-Length: ${"9".repeat(30)}\r\n${LAST}${BODY}`, 400],
  "a length that is too short": [
    `${POST}Content-Length: 14\r\n\r\n${BODY}and more\r\n\r\n`,
    400,
  ],
  "two requests at once": [
    `GET /v1/models HTTP/1.1\r\n${OWN}\r\n${POST}Content-Length: 14\r\n\r\n${BODY}GET /health HTTP/1.1\r\n${OWN}${LAST}`,
    ...[200, 200, 200],
  ],
  "a whole address": [`GET http://127.0.0.1/v1/models HTTP/1.1\r\n${OWN}${LAST}`, 200],
  "a whole address of another": [
    `GET http://evil.example/v1/models HTTP/1.1\r\n${OWN}${LAST}`,
    403,
  ],
  "another's name": [
    `GET http://127.0.0.1/v1/models HTTP/1.1\r\n${OWN.replace("127.0.0.1", "evil.example")}${LAST}`,
    403,
  ],
  "two names": [`GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n${OWN}${LAST}`, 403],
  "an empty name": [`GET /health HTTP/1.1\r\nHost:\r\n${LAST}`, 403],
  "no name": [`GET /health HTTP/1.1\r\n${LAST}`, 400],
  "HTTP/1.0": ["GET /health HTTP/1.0\r\n\r\n", 200],
  "HTTP/0.9": ["GET /health\r\n\r\n", 200],
  "HTTP/2.5": ["GET /health HTTP/2.5\r\n\r\n", 400],
  "a header of a megabyte": [
    `GET /health HTTP/1.1\r\n${OWN}X: ${"a".repeat(1 << 20)}\r\n${LAST}`,
    431,
  ],
  "200 headers": [`GET /health HTTP/1.1\r\n${OWN}${"X: a\r\n".repeat(200)}${LAST}`, 200],
  "a path of a megabyte": [`GET /${"a".repeat(1 << 20)} HTTP/1.1\r\n${OWN}${LAST}`, 431],
  "NUL in a header": [`GET /health HTTP/1.1\r\n${OWN}X: a\0b\r\n${LAST}`, 400],
  "NUL in a path": [`GET /health\0 HTTP/1.1\r\n${OWN}${LAST}`, 400],
  "a blank in a path": [`GET /v1/models/a b HTTP/1.1\r\n${OWN}${LAST}`, 400],
  "a WebSocket": [
    `GET /v1/models HTTP/1.1\r\n${OWN}Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade, close\r\n\r\n",
    200, // an ordinary answer, which is a refusal to switch
  ],
  "a WebSocket for a path that there is not": [
    `GET /ws HTTP/1.1\r\n${OWN}Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n`,
    404,
  ],
  "CONNECT": [`CONNECT evil.example:443 HTTP/1.1\r\n${OWN}${LAST}`, 0],
  "OPTIONS of everything": [`OPTIONS * HTTP/1.1\r\n${OWN}${LAST}`, 400],
  "TRACE": [`TRACE /v1/models HTTP/1.1\r\n${OWN}${LAST}`, 415],
  "an invented method": [`${"A".repeat(500)} /v1/models HTTP/1.1\r\n${OWN}${LAST}`, 400],
  "TLS": [Uint8Array.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3), 400],
  "no words": [new Uint8Array(1000), 400],
};

/** Nothing takes as long, on however slow a machine, unless it hangs. */
const HANGS_MS = 30_000;

Deno.test("raw requests: each gets its status, and the server lives on", async () => {
  await using server = await serve("--max-model-len", "128");
  const { address } = server;
  for (const [name, [request, ...statuses]] of Object.entries(CASES)) {
    const reply = await within(HANGS_MS, name, rawRequest(address, request));
    const found = Array.from(reply.text.matchAll(/HTTP\/1\.[01] (\d{3}) /g), ([, s]) => Number(s));
    assert.deepEqual(
      found.length === 0 ? [0] : found,
      statuses,
      `${name}: ${reply.text}${server.said.join("\n")}`,
    );
    assert.doesNotMatch(reply.headers, /^upgrade:/im, name);
    const next = await within(HANGS_MS, `behind ${name}`, ask(address, "/health"));
    assert.equal(next.status, 200, name);
  }

  // What is too long is refused before it comes, and is not waited for.
  const long = `${POST}Content-Length: 99999999999\r\n\r\n`;
  assert.equal((await within(HANGS_MS, "413", rawRequest(address, long))).status, 413);

  // A connection that has been of use is refused like any other.
  using kept = await RawConnection.open(address);
  await kept.send(`GET /health HTTP/1.1\r\n${OWN}\r\n`);
  assert.equal((await kept.receive((text) => /\}$/.test(text))).status, 200);
  await kept.send("and more\r\n\r\n");
  assert.equal((await within(HANGS_MS, "more", kept.receive())).status, 400);

  // Those who begin and do not go on.
  const beginnings = [
    "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow:",
    "GET /he",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `${POST}Content-Length: 14\r\n\r\n${BODY.slice(0, 5)}`,
    `${POST}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n${BODY}`,
    "",
  ];
  const open: RawConnection[] = [];
  for (let i = 0; i < 20; i++) {
    for (const beginning of beginnings) {
      const connection = await RawConnection.open(address);
      await connection.send(beginning);
      open.push(connection);
    }
  }
  const request = ask(address, "/v1/completions", { prompt: "The", max_tokens: 4 });
  const answer = await within(HANGS_MS, `beside ${open.length} unfinished ones`, request);
  assert.equal(answer.status, 200);
  await answer.body?.cancel();
  // A header that comes letter by letter is a header.
  using slow = await RawConnection.open(address);
  for (const letter of `GET /health HTTP/1.1\r\n${OWN}${LAST}`) await slow.send(letter);
  assert.equal((await slow.receive()).status, 200);
  // Half of a body, and gone: nothing is left of it.
  for (const connection of open) connection[Symbol.dispose]();
  await until(async () => (await loadOf(address)).running === 0, HANGS_MS);
  assert.equal((await ask(address, "/v1/tokenize", { prompt: "a" })).status, 200);
  assert.deepEqual(server.said.filter((line) => /^error/.test(line)), []);
});

/** A request with some of its bytes changed, left out, repeated or put in. */
const damaged = fc.tuple(
  fc.constantFrom(
    `${POST}Content-Length: 14\r\n\r\n${BODY}`,
    `${POST}Transfer-Encoding: chunked\r\n\r\ne\r\n${BODY}\r\n0\r\n\r\n`,
    `GET /v1/models HTTP/1.1\r\n${OWN}\r\nGET http://127.0.0.1/health?a=b HTTP/1.1\r\n${OWN}${LAST}`,
  ),
  fc.array(
    fc.record({
      at: fc.nat(300),
      remove: fc.constantFrom(0, 1, 1, 7, 200),
      put: fc.oneof(
        fc.uint8Array({ maxLength: 3 }),
        fc.constantFrom("\r\n", "\r", "\n", ":", " ", "\0", "%00", "//", "\\", "Host: x\r\n", "*")
          .map((text) => new TextEncoder().encode(text)),
      ),
    }),
    { minLength: 1, maxLength: 4 },
  ),
).map(([request, changes]) => {
  const bytes = [...new TextEncoder().encode(request)];
  for (const { at, remove, put } of changes) bytes.splice(at % bytes.length, remove, ...put);
  return Uint8Array.from(bytes);
});

Deno.test("2,000 damaged requests are answered or closed, and the server lives on", async () => {
  await using server = await serve("--max-model-len", "128", "--timeout", "1");
  const { address } = server;
  const statuses = new Map<number, number>();
  const requests = fc.sample(damaged, { numRuns: 2000, seed: 20 });
  while (requests.length > 0) {
    // Together, for those that miss something are waited for.
    await Promise.all(
      requests.splice(0, 500).map(async (request) => {
        const shown = JSON.stringify(new TextDecoder().decode(request));
        const { status, text } = await within(HANGS_MS, shown, rawRequest(address, request, /\}$/));
        assert.ok(status < 500, `${shown}: ${text}`);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }),
    );
  }
  console.log(`statuses ${JSON.stringify([...statuses])}`);
  for (const status of [200, 400, 401, 403, 408]) {
    assert.ok(statuses.get(status)! > 10, `${status}`);
  }
  assert.equal((await ask(address, "/v1/tokenize", { prompt: "a" })).status, 200);
  assert.deepEqual(server.said.filter((line) => /^error/.test(line)), []);
});

Deno.test("requests that do not come to an end get 408, answers that do not 504", async () => {
  await using server = await serve("--timeout", "1");
  const { address } = server;
  const begun = {
    "a header": `GET /health HTTP/1.1\r\n${OWN}X-Slow:`,
    "a body": `${POST}Content-Length: 14\r\n\r\n${BODY.slice(0, 5)}`,
    "a body in chunks": `${POST}Transfer-Encoding: chunked\r\n\r\n5\r\n${BODY.slice(0, 5)}\r\n`,
  };
  for (const [name, beginning] of Object.entries(begun)) {
    // Read to its end: the server closes the connection.
    const { status, body } = await within(HANGS_MS, name, rawRequest(address, beginning));
    assert.equal(status, 408, name);
    assert.deepEqual(JSON.parse(body).error, {
      message: "Expected a whole request within --timeout, found it unfinished",
      type: "timeout_error",
      param: null,
      code: null,
    });
  }
  const endless = { prompt: "The", max_tokens: 400, ignore_eos: true, n: 16 };
  const plain = await ask(address, "/v1/completions", endless);
  assert.equal(plain.status, 504);
  const { error } = await plain.json();
  assert.equal(error.message, "Expected an answer within 1 s, found it unfinished");
  const streamed = await ask(address, "/v1/completions", { ...endless, stream: true });
  assert.equal(streamed.status, 200, "it had begun");
  const text = await streamed.text();
  assert.match(text, /Expected an answer within 1 s, found it unfinished/);
  assert.doesNotMatch(text, /\[DONE\]/);
  await until(async () => (await loadOf(address)).running === 0, HANGS_MS);
  assert.deepEqual(server.said.filter((line) => /^error/.test(line)), []);
});

/** @throws {Error} If it takes longer. */
async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what}: no answer within ${ms} ms`)), ms);
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
