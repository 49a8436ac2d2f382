/** Requests that no client of good will sends, as bytes on a socket, to the server as a user runs it. */
import assert from "node:assert/strict";
import { inTemporaryDirectory } from "./command.ts";
import { GIVEN, isGiven, taskWith, usesIn } from "./permissions.ts";
import { type RawReply, rawRequest } from "./raw_http.ts";
import { ask, headers, serveAs } from "./server.ts";

const OWN = `Host: 127.0.0.1\r\nAuthorization: ${headers.authorization}\r\n`;
const LAST = "Connection: close\r\n\r\n";
const JSON_TYPE = "Content-Type: application/json\r\n";

const get = (target: string) => `GET ${target} HTTP/1.1\r\n${OWN}${LAST}`;
const post = (target: string, body: string) => send("POST", target, body);
const send = (method: string, target: string, body: string) =>
  `${method} ${target} HTTP/1.1\r\n${OWN}${JSON_TYPE}Content-Length: ${
    new TextEncoder().encode(body).length
  }\r\n${LAST}${body}`;

/** Asserts a refusal in OpenAI's shape, without anything of this machine in it. */
function assertRefused(reply: RawReply, request: string): void {
  const shown = `${request.slice(0, 200)}: ${reply.text.slice(0, 400)}`;
  assert.ok([400, 404, 405].includes(reply.status), shown); // 405 where a path is shortened to another route
  // Deno itself refuses what is no HTTP, before the app sees it, and says nothing.
  if (reply.body !== "") {
    const { error } = JSON.parse(reply.body);
    assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"], shown);
  }
  assert.doesNotMatch(reply.text, /OUTSIDE|root:/, shown);
}

/** What might lead out of a folder, as it stands in a request's first line. */
const TARGETS = [
  ...["../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd"],
  ...[
    "%2e%2e%2f%2e%2e%2fdeno.json",
    "%252e%252e%252fdeno.json",
    "..%5c..%5cdeno.json",
    "..\\deno.json",
  ],
  ...["%2fetc%2fpasswd", "//etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "~%2f.ssh%2fid_rsa"],
  ...["C:%5cWindows%5cwin.ini", "C:/Windows/win.ini", "%5c%5chost%5cshare", "..", ".", "%2e%2e"],
  ...["%00", "policy%00", "fixtures%00.jsonl", "%c0%ae%c0%ae%c0%af", "%", "%ff", "%0d%0aX:%20y"],
  ...[
    "fixtures%2fmodel%2fconfig.json",
    "fixtures%2fpairs%2ftrain.jsonl",
    ".tmp-1",
    "a".repeat(3000),
  ],
];

/** The same in a text of JSON. */
const NAMES = [
  ...["../../../etc/passwd", "..\\..\\deno.json", "/etc/passwd", "file:///etc/passwd", "~/.ssh"],
  ...["C:\\Windows\\win.ini", "C:/Windows/win.ini", "\\\\host\\share", "..", ".", "policy\0", "\0"],
  ...[
    "%2e%2e%2fdeno.json",
    "fixtures/model",
    "fixtures/pairs/train.jsonl",
    "runs",
    "http://evil.example/a",
  ],
];

const PAIR = { prompt: "a", chosen: "b", rejected: "c" };

/** Requests that name something, by the place of the name. */
const NAMING: ((name: string) => [path: string, body: Record<string, unknown>])[] = [
  (model) => ["/v1/completions", { model, prompt: "a", max_tokens: 1 }],
  (model) => ["/v1/chat/completions", { model, messages: [{ role: "user", content: "a" }] }],
  (model) => ["/v1/score", { model, pairs: [PAIR] }],
  (reference) => ["/v1/score", { reference, pairs: [PAIR] }],
  (model) => ["/v1/tokenize", { model, prompt: "a" }],
  (model) => ["/v1/detokenize", { model, tokens: [5] }],
  (model) => ["/v1/fine_tuning/jobs", { ...JOB, model }],
  (training_file) => ["/v1/fine_tuning/jobs", { ...JOB, training_file }],
  (validation_file) => ["/v1/fine_tuning/jobs", { ...JOB, validation_file }],
  (model) => ["/v1/evaluations", { model, file: "fixtures" }],
  (reference) => ["/v1/evaluations", { model: "policy", reference, file: "fixtures" }],
  (file) => ["/v1/evaluations", { model: "policy", file }],
  (output) => ["/v1/fine_tuning/jobs", { ...JOB, smoldpo: { output } }],
  (cache_dir) => ["/v1/fine_tuning/jobs", { ...JOB, smoldpo: { cache_dir } }],
  (resume) => ["/v1/fine_tuning/jobs", { ...JOB, smoldpo: { resume } }],
  (config) => ["/v1/evaluations", { model: "policy", file: "fixtures", smoldpo: { config } }],
];

const JOB = { model: "policy", training_file: "fixtures", method: { type: "dpo" } };

Deno.test("no id or name in a request leads to a file outside", () =>
  inTemporaryDirectory(async (directory) => {
    const log = `${directory}/uses.jsonl`;
    const env = { DENO_AUDIT_PERMISSIONS: log };
    const output = `runs/.test-${crypto.randomUUID()}`;
    const links = await linksOutside(directory, output);
    try {
      await using server = await serveAs(
        taskWith(GIVEN),
        env,
        "--output",
        output,
        "--max-model-len",
        "64",
      );
      const { address } = server;
      const { paths } = await (await ask(address, "/openapi.json")).json();
      let routes = 0;
      for (const [path, methods] of Object.entries<object>(paths)) {
        if (!path.includes("{")) continue;
        for (const method of Object.keys(methods)) {
          routes++;
          for (const name of [...TARGETS, ...links]) {
            const target = path.replace(/\{[^}]*\}/, () => name);
            const request = method === "get"
              ? get(target)
              : send(method.toUpperCase(), target, "{}");
            assertRefused(await rawRequest(address, request), request);
          }
        }
      }
      assert.ok(routes >= 15, `${routes} routes with ids`);
      for (const name of TARGETS) {
        const request = get(`/page/${name}`);
        const reply = await rawRequest(address, request);
        // /page/. and the like are the page itself for whoever shortens paths.
        if (reply.status !== 200) assertRefused(reply, request);
        else assert.match(reply.body, /^<!doctype html>/i, request);
      }
      for (const requestWith of NAMING) {
        for (const name of [...NAMES, ...links]) {
          const [path, body] = requestWith(name);
          const request = post(path, JSON.stringify(body));
          assertRefused(await rawRequest(address, request), request);
        }
      }
      for (const name of links) {
        const checkpoint = await rawRequest(address, get(`/v1/models/${name}:step-1`));
        assert.equal(checkpoint.status, 404, checkpoint.text);
      }
      await assertUploadsStayInside(address, output);
    } finally {
      await Deno.remove(output, { recursive: true });
    }
    assert.deepEqual((await usesIn(log)).filter((use) => !isGiven(use)), []);
  }));

/** A run's folder and a run's files, beside other runs, that are links to what is outside. @returns Their names. */
async function linksOutside(directory: string, output: string): Promise<string[]> {
  const [link, run] = [`link-${crypto.randomUUID()}`, `run-${crypto.randomUUID()}`];
  const outside = `${directory}/outside`;
  await Deno.mkdir(`${outside}/checkpoints/step-1`, { recursive: true });
  const facts = { command: "train", options: {}, origins: {}, startedAt: "2026-01-01", data: [] };
  const files = ["run.json", "config.json", "report.html", "metrics.jsonl"];
  for (const file of files) {
    await Deno.writeTextFile(`${outside}/${file}`, JSON.stringify({ ...facts, text: "OUTSIDE" }));
  }
  await Deno.mkdir(`${output}/${run}`, { recursive: true });
  await Deno.symlink(outside, `${output}/${link}`);
  for (const name of [...files, "checkpoints"]) {
    await Deno.symlink(`${outside}/${name}`, `${output}/${run}/${name}`);
  }
  return [link, run];
}

/** A file's name from a client says how to read it, and nothing of where it goes or what it replaces. */
async function assertUploadsStayInside(address: string, output: string): Promise<void> {
  const names = ["../../../evil.jsonl", "C:\\evil.jsonl", "/tmp/evil.jsonl", "%2e%2e%2fevil.jsonl"];
  for (const name of [...names, "upload.json", ".upload.json"]) {
    const form = new FormData();
    form.set("purpose", "fine-tune");
    const content = JSON.stringify([{ ...PAIR, prompt: crypto.randomUUID() }]);
    form.set("file", new File([name.endsWith("l") ? content.slice(1, -1) : content], name));
    const url = `http://${address}/v1/files`;
    const response = await fetch(url, { method: "POST", headers, body: form });
    const answered = await response.text();
    assert.equal(response.status, 200, `${name}: ${answered}`);
    const { id, filename, bytes } = JSON.parse(answered);
    assert.match(filename, /^\w[\w.]*\.jsonl?$/, name);
    assert.equal((await Deno.stat(`${output}/files/${id}/${filename}`)).size, bytes, name);
    const removed = await fetch(`${url}/${id}`, { method: "DELETE", headers });
    assert.equal(removed.status, 200, name);
  }
}
