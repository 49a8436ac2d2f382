import assert from "node:assert/strict";
import { SqlitePreferences } from "../../src/platform/sqlite_preferences.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { JOBS, live, StandIn, tiny } from "./jobs.ts";
import { messages, type Reply, workshop } from "./served.ts";

const FILES = "/v1/files";
const PAIRS = [
  { prompt: "Say hi.", chosen: " Hi!", rejected: " No." },
  { prompt: "Say bye.", chosen: " Bye!", rejected: " No." },
];
const LINES = PAIRS.map((pair) => `${JSON.stringify(pair)}\n`).join("");

function form(content: string, name: string, purpose = "fine-tune"): FormData {
  const form = new FormData();
  form.set("purpose", purpose);
  form.set("file", new File([content], name));
  return form;
}

/** The ids of a list. */
const idsOf = ({ body }: Reply) => body.data.map(({ id }: { id: string }) => id);

Deno.test("files are listed by name, without their paths", async () => {
  await using served = workshop("nowhere", { worker: new StandIn() });
  const reply = await served.ask(FILES);
  assert.deepEqual(idsOf(reply), ["fixtures", "held-out"]);
  assert.doesNotMatch(JSON.stringify(reply.body), /jsonl/);
  assert.equal((await served.ask(`${FILES}/fixtures`)).body.purpose, "fine-tune");
  assert.equal((await served.ask(`${FILES}/nothing`)).status, 404);
});

Deno.test("an upload is kept once, used by its id, and removed", async () => {
  await inTemporaryDirectory(async (output) => {
    const worker = new StandIn();
    await using served = workshop(output, { worker });
    const { status, body } = await served.ask(FILES, form(LINES, "../../mine.jsonl"));
    assert.equal(status, 200, JSON.stringify(body));
    assert.match(body.id, /^file-[0-9a-f]{24}$/);
    assert.deepEqual(
      [body.filename, body.bytes, body.smoldpo],
      ["mine.jsonl", LINES.length, { rows: 2, source: "upload" }],
    );
    assert.equal((await served.ask(FILES, form(LINES, "again.jsonl"))).body.id, body.id);
    assert.deepEqual(idsOf(await served.ask(FILES)), ["fixtures", "held-out", body.id]);

    // Kept on disk: another server finds it.
    await using other = workshop(output, { worker });
    assert.deepEqual((await other.ask(`${FILES}/${body.id}`)).body, body);
    const job = (await other.ask(JOBS, tiny({ training_file: body.id }))).body;
    assert.equal(job.training_file, body.id);
    assert.match(job.smoldpo.command, RegExp(`--dataset \\S+/files/${body.id}/mine\\.jsonl`));

    const remove = () => other.ask(`${FILES}/${body.id}`, undefined, { method: "DELETE" });
    assert.deepEqual((await remove()).body, { id: body.id, object: "file", deleted: true });
    assert.equal((await remove()).status, 404);
    assert.deepEqual(idsOf(await served.ask(FILES)), ["fixtures", "held-out"]);
  });
});

Deno.test("an upload may be of single answers with labels", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output, { worker: new StandIn() });
    const rows = [true, false].map((label) => ({ prompt: "Say hi.", completion: " Hi!", label }));
    const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    const { status, body } = await served.ask(FILES, form(lines, "answers.jsonl"));
    assert.deepEqual([status, body.smoldpo], [200, { rows: 2, source: "upload" }]);
    const odd = lines.replace("true", '"maybe"');
    const reply = await served.ask(FILES, form(odd, "answers.jsonl"));
    assert.equal(reply.status, 400);
    assert.match(reply.body.error.message, /answers\.jsonl, line 1: expected "label" to be true/);
  });
});

Deno.test("an upload that is no dataset of pairs is refused by its row, and leaves nothing", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output, { worker: new StandIn() });
    const cases: [FormData, RegExp][] = [
      [form(`${LINES}{"prompt": "a"}\n`, "a.jsonl"), /^Cannot use a\.jsonl, line 3: /],
      [form(`${LINES}{"prompt\n`, "a.jsonl"), /a\.jsonl, line 3/],
      [form(LINES, "pairs.txt"), /ending in \.jsonl, .*found "pairs\.txt"/],
      [form("", "a.jsonl"), /rows in a\.jsonl, found none/],
      [form("not gzip", "a.jsonl.gz"), /a\.jsonl\.gz/],
      [form(LINES, "a.jsonl", "assistants"), /purpose/],
      [new FormData(), /file/],
    ];
    for (const [body, message] of cases) {
      const reply = await served.ask(FILES, body);
      assert.equal(reply.status, 400, JSON.stringify(reply.body));
      assert.match(reply.body.error.message, message);
      assert.doesNotMatch(reply.body.error.message, RegExp(output));
    }
    const json = await served.ask(FILES, { file: "fixtures/pairs/train.jsonl" });
    assert.equal(json.status, 415);
    const left = await Array.fromAsync(Deno.readDir(`${output}/files`));
    assert.deepEqual(left, []);
    const method = "DELETE";
    assert.equal((await served.ask(`${FILES}/fixtures`, undefined, { method })).status, 400);
    assert.equal((await served.ask(`${FILES}/..`, undefined, { method })).status, 404);
  });
});

Deno.test("an upload may be larger than other bodies, but not without bounds", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output, { worker: new StandIn() });
    const row = JSON.stringify({ ...PAIRS[0], prompt: "long ".repeat(1000) });
    const large = form(`${row}\n`.repeat(400), "large.jsonl"); // 2 MB
    assert.equal((await served.ask(FILES, large)).body.smoldpo.rows, 400);
    const headers = { "content-length": String(65 << 20) };
    const reply = await served.ask(FILES, form(LINES, "a.jsonl"), { headers });
    assert.equal(reply.status, 413);
  });
});

Deno.test("collected preferences are a training file; a job has them as they were", async () => {
  await inTemporaryDirectory(async (output) => {
    const preferences = await SqlitePreferences.open(":memory:");
    const worker = new StandIn();
    await using served = workshop(output, { worker, preferences });
    assert.equal((await served.ask(`${FILES}/preferences`)).status, 404);
    const pair = (i: number) => ({
      prompt: messages(`Question ${i}`),
      chosen: [{ role: "assistant", content: "Yes." }],
      rejected: [{ role: "assistant", content: "No." }],
    });
    preferences.add([pair(1), pair(2)], null);
    assert.equal((await served.ask(`${FILES}/preferences`)).body.smoldpo.rows, 2);
    const { body } = await served.ask(JOBS, tiny({ training_file: "preferences" }));
    preferences.add([pair(3)], null);
    const [, path] = / --dataset (\S+)/.exec(body.smoldpo.command)!;
    const rows = (await Deno.readTextFile(path)).trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(rows, [pair(2), pair(1)]);
    worker.end.resolve();
    await live(served, body.id);
    preferences.close();
  });
});
