/** What clients find after a restart of the server. */
import assert from "node:assert/strict";
import { SqliteJobs } from "../../src/platform/sqlite_jobs.ts";
import { UserError } from "../../src/errors.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { JOBS, live, StandIn, tiny } from "./jobs.ts";
import { FakeModels } from "./fake_models.ts";
import { messages, NAMES, tokenizer, workshop } from "./served.ts";

type Served = ReturnType<typeof workshop>;

/** A server on the jobs of a file, with models of its own. */
function serverOn(output: string, file: string) {
  const worker = new StandIn();
  const jobs = SqliteJobs.open(file)!;
  const host = new FakeModels(tokenizer.vocabSize, NAMES);
  return { worker, jobs, served: workshop(output, { worker, jobs, host }) };
}

const create = async ({ ask }: Served, suffix: string) =>
  (await ask(JOBS, tiny({ suffix, metadata: { of: suffix } }))).body;

const jobsOf = async ({ ask }: Served) => (await ask(JOBS)).body.data.toReversed();

/** One that has succeeded, one that is paused, one that runs, one that waits. */
async function busy({ served, worker }: ReturnType<typeof serverOn>) {
  const done = await create(served, "done");
  await worker.hasBegun(1);
  worker.end.resolve();
  await live(served, done.id);
  const paused = await create(served, "paused");
  await worker.hasBegun(2);
  await served.ask(`${JOBS}/${paused.id}/pause`, {});
  await create(served, "running");
  await worker.hasBegun(3);
  await create(served, "waiting");
}

Deno.test("a server that was killed leaves its jobs, their events and the names of their models", () =>
  inTemporaryDirectory(async (directory) => {
    const output = `${directory}/runs`;
    await Deno.mkdir(output);
    const first = serverOn(output, `${directory}/jobs.db`);
    await busy(first);
    const before = await jobsOf(first.served);
    assert.deepEqual(
      before.map(({ status }: { status: string }) => status),
      ["succeeded", "paused", "running", "queued"],
    );
    const events = (await first.served.ask(`${JOBS}/${before[1].id}/events`)).body.data;
    // What a process that is killed leaves on disk.
    for (const end of ["", "-wal"]) {
      await Deno.copyFile(`${directory}/jobs.db${end}`, `${directory}/left.db${end}`);
    }
    await first.served[Symbol.asyncDispose]();
    first.jobs[Symbol.dispose]();

    const second = serverOn(output, `${directory}/left.db`);
    using _jobs = second.jobs;
    await using served = second.served;
    await served.offered;
    await second.worker.hasBegun(1); // the one that waited
    const after = await jobsOf(served);
    const expected = ["succeeded", "paused", "paused", "running"];
    assert.deepEqual(
      after,
      before.map((job: object, i: number) => ({ ...job, status: expected[i] })),
    );
    assert.deepEqual(second.worker.begun, [after[3].smoldpo.output]);
    assert.deepEqual((await served.ask(`${JOBS}/${before[1].id}/events`)).body.data, events);
    const [told] = (await served.ask(`${JOBS}/${before[2].id}/events`)).body.data;
    assert.match(told.message, /^The server ended while the job ran: resume it/);

    const { status, body } = await served.ask("/v1/chat/completions", {
      model: before[0].fine_tuned_model,
      messages: messages("Hi"),
      max_tokens: 1,
    });
    assert.equal(status, 200, JSON.stringify(body));
    const twice = await served.ask(JOBS, tiny({ suffix: "done" }));
    assert.match(twice.body.error.message, /suffix that no other model has, found "done"/);

    await served.ask(`${JOBS}/${after[3].id}/cancel`, {});
    await served.ask(`${JOBS}/${after[1].id}/resume`, {});
    await second.worker.hasBegun(2);
    assert.deepEqual(second.worker.resumed, [null, "latest"]);
  }));

Deno.test("a server that was closed goes on with its jobs", () =>
  inTemporaryDirectory(async (directory) => {
    const output = `${directory}/runs`;
    const file = `${directory}/jobs.db`;
    const first = serverOn(output, file);
    await busy(first);
    await first.served[Symbol.asyncDispose]();
    first.jobs[Symbol.dispose]();

    const second = serverOn(output, file);
    using _jobs = second.jobs;
    await using served = second.served;
    await second.worker.hasBegun(1);
    const after = await jobsOf(served);
    assert.deepEqual(
      after.map(({ status }: { status: string }) => status),
      ["succeeded", "paused", "running", "queued"],
    );
    assert.deepEqual(second.worker.begun, [after[2].smoldpo.output]);
    assert.deepEqual(second.worker.resumed, ["latest"]);
  }));

Deno.test("two servers do not share jobs, and a file of something else is refused", () =>
  inTemporaryDirectory(async (directory) => {
    using _first = SqliteJobs.open(`${directory}/jobs.db`)!;
    assert.equal(SqliteJobs.open(`${directory}/jobs.db`), null);
    await Deno.writeTextFile(`${directory}/other.db`, "no database, but text ".repeat(100));
    assert.throws(() => SqliteJobs.open(`${directory}/other.db`), UserError);
  }));
