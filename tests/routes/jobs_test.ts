import assert from "node:assert/strict";
import { readMetrics, readModel } from "../e2e/inputs.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { JOBS, live, StandIn, tiny } from "./jobs.ts";
import { ask, messages, workshop } from "./served.ts";

Deno.test("a job trains beside answers, tells of each step, and its model answers at once", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output);
    const created = await served.ask(JOBS, tiny({ suffix: "mine", validation_file: "held-out" }));
    assert.equal(created.status, 200, JSON.stringify(created.body));
    const { id } = created.body;
    assert.match(id, /^ftjob-[0-9a-f]{24}$/);
    const events = live(served, id);
    const meanwhile = await served.ask("/v1/chat/completions", {
      messages: messages("Hi"),
      max_tokens: 4,
    });
    assert.equal(meanwhile.status, 200);
    assert.equal((await served.ask(`${JOBS}/${id}`)).body.status, "running");

    const told = await events;
    const steps = told.filter(({ type, data }) => type === "metrics" && "loss" in data);
    assert.deepEqual(steps.map(({ data }) => data.step), [1, 2, 3]);
    assert.ok(Math.abs(steps[0].data.loss - Math.LN2) < 1e-3);
    assert.ok(steps[2].data["rewards/margins"] > 0);
    assert.ok(told.some(({ message }) => /^device /.test(message)));
    assert.equal(told.at(-1).message, "New model: ft:policy:mine");
    const rest = await live(served, id, told[4].id);
    assert.deepEqual(rest, told.slice(5));

    const job = (await served.ask(`${JOBS}/${id}`)).body;
    assert.equal(job.status, "succeeded");
    assert.equal(job.fine_tuned_model, "ft:policy:mine");
    assert.equal(job.user_provided_suffix, "mine");
    assert.equal(job.trained_tokens, steps.reduce((sum, { data }) => sum + data.tokens, 0));
    assert.deepEqual(job.method.dpo.hyperparameters, {
      beta: 0.3,
      batch_size: 2,
      n_epochs: 1,
      learning_rate_multiplier: 1,
    });
    // As `train` leaves it.
    assert.equal((await readMetrics(`${output}/${id}`)).length, 5, "three steps, two evaluations");
    const record = JSON.parse(await Deno.readTextFile(`${output}/${id}/run.json`));
    assert.equal(record.options.seed, 7);
    assert.ok((await readModel(`${output}/${id}`)).length > 1000);

    const { data } = (await served.ask("/v1/models")).body;
    assert.deepEqual(data.at(-1).id, "ft:policy:mine");
    assert.equal(data.at(-1).root, "policy");
    const answerOf = async (model: string) => {
      const question = {
        model,
        messages: messages("Hi"),
        max_tokens: 8,
        temperature: 0,
        logprobs: true,
      };
      const { status, body } = await served.ask("/v1/chat/completions", question);
      assert.equal(status, 200, JSON.stringify(body));
      return body.choices[0].logprobs.content[0].logprob;
    };
    assert.notEqual(await answerOf("ft:policy:mine"), await answerOf("policy"));
    const twice = await served.ask(JOBS, tiny({ suffix: "mine" }));
    assert.match(twice.body.error.message, /suffix that no other model has, found "mine"/);
  });
});

Deno.test("a paused job goes on where it was", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output);
    const long = { ...tiny().smoldpo, max_steps: 6 };
    const { id } = (await served.ask(JOBS, tiny({ smoldpo: long }))).body;
    const job = served.queue.jobs.find((each) => each.id === id)!;
    for await (const { metrics } of served.queue.follow(job, -1, new AbortController().signal)) {
      if (metrics?.step === 2) break;
    }
    assert.equal((await served.ask(`${JOBS}/${id}/pause`, {})).body.status, "paused");
    assert.equal((await served.ask(`${JOBS}/${id}/resume`, {})).body.status, "running");
    const told = await live(served, id);
    assert.ok(told.some(({ message }) => /^resuming after step [23] of 6/.test(message)));
    assert.deepEqual((await readMetrics(`${output}/${id}`)).map(({ step }) => step), [
      1,
      2,
      3,
      4,
      5,
      6,
    ]);
    assert.equal((await served.ask(`${JOBS}/${id}`)).body.status, "succeeded");
    // That it has the bits of a whole run is for tests/e2e/resume_test.ts to show.
  });
});

Deno.test("a job that cannot be done says why, and the next one begins", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output);
    const smoldpo = { ...tiny().smoldpo, prompt_column: "nothing" };
    const { id } = (await served.ask(JOBS, tiny({ smoldpo }))).body;
    const { id: next } = (await served.ask(JOBS, tiny())).body;
    const told = await live(served, id);
    assert.equal(told.at(-1).level, "error");
    const { status, error, fine_tuned_model } = (await served.ask(`${JOBS}/${id}`)).body;
    assert.deepEqual([status, fine_tuned_model], ["failed", null]);
    assert.match(error.message, /"nothing"/);
    await live(served, next);
    assert.equal((await served.ask(`${JOBS}/${next}`)).body.status, "succeeded");
  });
});

Deno.test("one job runs, the others wait; all can be cancelled, and lists have cursors", async () => {
  await inTemporaryDirectory(async (output) => {
    const worker = new StandIn();
    await using served = workshop(output, { worker });
    const ids: string[] = [];
    for (const suffix of ["a", "b", "c", "d"]) {
      ids.push((await served.ask(JOBS, tiny({ suffix }))).body.id);
    }
    const statuses = async () => {
      const { data } = (await served.ask(JOBS)).body;
      return data.map(({ status }: { status: string }) => status).reverse();
    };
    assert.deepEqual(await statuses(), ["running", "queued", "queued", "queued"]);
    const full = await served.ask(JOBS, tiny());
    assert.equal(full.status, 429);
    assert.match(full.body.error.message, /at most 4 trained models/);

    const first = (await served.ask(`${JOBS}?limit=3`)).body;
    assert.deepEqual(first.data.map(({ id }: { id: string }) => id), ids.slice(1).reverse());
    assert.equal(first.has_more, true);
    const second = (await served.ask(`${JOBS}?limit=3&after=${first.last_id}`)).body;
    assert.deepEqual([second.data[0].id, second.has_more], [ids[0], false]);

    const cancel = (id: string) => served.ask(`${JOBS}/${id}/cancel`, {});
    assert.equal((await cancel(ids[1])).body.status, "cancelled");
    assert.equal((await cancel(ids[0])).body.status, "cancelled");
    assert.deepEqual(await statuses(), ["cancelled", "cancelled", "running", "queued"]);
    assert.equal((await cancel(ids[0])).status, 400);
    assert.equal((await served.ask(`${JOBS}/${ids[2]}/resume`, {})).status, 400);

    // A paused job makes room for the next, and waits behind it.
    await served.ask(`${JOBS}/${ids[2]}/pause`, {});
    assert.deepEqual(await statuses(), ["cancelled", "cancelled", "paused", "running"]);
    await served.ask(`${JOBS}/${ids[2]}/resume`, {});
    const ended = live(served, ids[3]);
    worker.end.resolve();
    await ended;
    assert.deepEqual(worker.begun, [0, 2, 3, 2].map((i) => `${output}/${ids[i]}`));
    assert.deepEqual(worker.resumed, [null, null, null, "latest"]);

    const closing = live(served, ids[2]);
    await served.queue.close();
    assert.equal((await closing).at(-1).message, "The job was cancelled");
    assert.deepEqual(await statuses(), ["cancelled", "cancelled", "cancelled", "succeeded"]);
  });
});

Deno.test("bad requests for a job are refused, in OpenAI's shape", async () => {
  await inTemporaryDirectory(async (output) => {
    const worker = new StandIn();
    await using served = workshop(output, { worker });
    const dpo = (hyperparameters: object) => ({
      method: { type: "dpo", dpo: { hyperparameters } },
    });
    const cases: [object, number, RegExp, string | null][] = [
      [{ model: "gpt" }, 404, /found "gpt"/, "model"],
      [
        { training_file: "file-abc" },
        400,
        /files fixtures, held-out, found "file-abc"/,
        "training_file",
      ],
      [{ training_file: "fixtures/pairs/train.jsonl" }, 400, /one of the files/, "training_file"],
      [{ training_file: "../../etc/passwd" }, 400, /one of the files/, "training_file"],
      [{ validation_file: "https://evil.example" }, 400, /one of the files/, "validation_file"],
      [{ method: { type: "supervised" } }, 400, /method\.type/, "method.type"],
      [{ method: undefined }, 400, /method/, "method"],
      [dpo({ beta: 0 }), 400, /beta/, "method.dpo.hyperparameters.beta"],
      [dpo({ gamma: 1 }), 400, /gamma/, "method.dpo.hyperparameters"],
      [{ suffix: "../up" }, 400, /suffix/, "suffix"],
      [{ seed: -1 }, 400, /seed/, "seed"],
      [{ epochs: 3 }, 400, /epochs/, null],
      [
        { smoldpo: { learnin_rate: 1 } },
        400,
        /"learnin_rate" in the request: did you mean --learning-rate/,
        null,
      ],
      [{ smoldpo: { learning_rate: "fast" } }, 400, /a number above 0, found "fast"/, null],
      [{ smoldpo: { top_k: 1 } }, 400, /option of generate/, null],
      [
        { smoldpo: { output: "/tmp" } },
        400,
        /no "output" in the request: the server sets it/,
        null,
      ],
      [{ smoldpo: { dataset_name: "x" } }, 400, /the server sets it/, null],
      [{ smoldpo: { push_to_hub: true, hub_model_id: "a/b" } }, 400, /the server sets it/, null],
      [{ smoldpo: { beta: 0.2 } }, 400, /one of "beta" and "beta", found both/, null],
      [{ smoldpo: { batch_size: 4 } }, 400, /one of "batch_size" and "batch_size"/, null],
      [{ smoldpo: { max_length: 1e6 } }, 400, /at most 131072, found 2 times 1000000/, null],
      [{ smoldpo: { preset: "best" } }, 400, /seed, standard, trl/, null],
    ];
    for (const [wrong, status, message, param] of cases) {
      const reply = await served.ask(JOBS, tiny(wrong));
      assert.equal(reply.status, status, JSON.stringify([wrong, reply.body]));
      assert.deepEqual(Object.keys(reply.body.error), ["message", "type", "param", "code"]);
      assert.match(reply.body.error.message, message);
      assert.equal(reply.body.error.param, param);
    }
    assert.deepEqual((await served.ask(JOBS)).body.data, []);
    assert.equal((await served.ask(`${JOBS}/ftjob-1`)).status, 404);
    assert.equal((await served.ask(`${JOBS}?limit=0`)).status, 400);
    assert.equal((await served.ask(`${JOBS}?after=ftjob-1`)).status, 400);
    assert.equal((await ask(JOBS, tiny())).status, 404, "a server that trains nothing");

    const { id } =
      (await served.ask(JOBS, tiny(dpo({ learning_rate_multiplier: 4, beta: "auto" })))).body;
    assert.ok(id === undefined, "a rate and its multiplier at once");
    const smoldpo = { preset: "trl" };
    const job =
      (await served.ask(JOBS, tiny({ ...dpo({ learning_rate_multiplier: 4 }), smoldpo }))).body;
    assert.equal(job.smoldpo.learning_rate, 4e-6);
    assert.equal(job.method.dpo.hyperparameters.n_epochs, 3);
    const headers = { accept: "text/event-stream", "last-event-id": "ftevent-1-0" };
    assert.equal(
      (await served.ask(`${JOBS}/${job.id}/events`, undefined, { headers })).status,
      400,
    );
    await served.queue.close();
  });
});
