import assert from "node:assert/strict";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { JOBS, live, StandIn, tiny } from "./jobs.ts";
import { ask, workshop } from "./served.ts";

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
      return data.map(({ status }: { status: string }) => status).reverse().slice(0, 4);
    };
    assert.deepEqual(await statuses(), ["running", "queued", "queued", "queued"]);
    await worker.hasBegun(1);
    // More than there is room for as models: those are loaded when they are asked for.
    const fifth = (await served.ask(JOBS, tiny())).body;
    assert.equal((await served.ask(`${JOBS}/${fifth.id}/cancel`, {})).body.status, "cancelled");
    assert.equal((await served.ask(`${JOBS}?limit=1`)).body.data[0].id, fifth.id);

    const first = (await served.ask(`${JOBS}?limit=3&after=${fifth.id}`)).body;
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
    await worker.hasBegun(2);

    // A paused job makes room for the next, and waits behind it.
    await served.ask(`${JOBS}/${ids[2]}/pause`, {});
    assert.deepEqual(await statuses(), ["cancelled", "cancelled", "paused", "running"]);
    await served.ask(`${JOBS}/${ids[2]}/resume`, {});
    const ended = live(served, ids[3]);
    await worker.hasBegun(3);
    worker.end.resolve();
    await ended;
    await worker.hasBegun(4);
    assert.deepEqual(worker.begun, [0, 2, 3, 2].map((i) => `${output}/${ids[i]}`));
    assert.deepEqual(worker.resumed, [null, null, null, "latest"]);

    const headers = { accept: "text/event-stream" };
    const following = served.ask(`${JOBS}/${ids[2]}/events`, undefined, { headers });
    await served.queue.close();
    const { body } = await following;
    assert.match(body, /The server is closing; the job goes on when/);
    assert.doesNotMatch(body, /\[DONE\]/, "the next server tells the rest");
    assert.deepEqual(await statuses(), ["cancelled", "cancelled", "queued", "succeeded"]);
  });
});

Deno.test("bad requests for a job are refused, in OpenAI's shape", async () => {
  await inTemporaryDirectory(async (output) => {
    const worker = new StandIn();
    await using served = workshop(output, { worker });
    const dpo = (hyperparameters: object) => ({
      method: { type: "dpo", dpo: { hyperparameters } },
    });
    const cases: [object, number, RegExp, param?: string | null][] = [
      [{ model: "gpt" }, 404, /found "gpt"/, "model"],
      [
        { training_file: "file-abc" },
        400,
        /fixtures, held-out or an upload .* found "file-abc"/,
        "training_file",
      ],
      [
        { training_file: "fixtures/pairs/train.jsonl" },
        400,
        /one of fixtures, held-out/,
        "training_file",
      ],
      [{ training_file: "../../etc/passwd" }, 400, /one of fixtures, held-out/, "training_file"],
      [
        { validation_file: "https://evil.example" },
        400,
        /one of fixtures, held-out/,
        "validation_file",
      ],
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
      ...([
        ["nothing", /one of fixtures, held-out or an upload/],
        [["held-out", "fixtures/pairs/eval.jsonl"], /one of fixtures, held-out or an upload/],
        [{ a: "../../etc/passwd" }, /one of fixtures, held-out or an upload/],
        [["held-out", "held-out"], /found two of "held-out": give a map/],
        [{ "a b": "held-out" }, /eval_dataset/],
        [{ filtered: "held-out" }, /do not end in filtered/],
        [{}, /1 to 16 sets/],
        [[], /eval_dataset/],
        [7, /eval_dataset/],
      ] as const).map(([eval_dataset, message]): typeof cases[number] => {
        const isFile = /upload|two of/.test(message.source);
        const isOption = message.source.includes("filtered");
        const param = isOption ? null : isFile ? "smoldpo.eval_dataset" : undefined;
        return [{ smoldpo: { eval_dataset } }, 400, message, param];
      }),
      [
        { validation_file: "held-out", smoldpo: { eval_dataset: ["fixtures"] } },
        400,
        /one of "validation_file" and "eval_dataset", found both/,
        "smoldpo.eval_dataset",
      ],
    ];
    for (const [wrong, status, message, param] of cases) {
      const reply = await served.ask(JOBS, tiny(wrong));
      assert.equal(reply.status, status, JSON.stringify([wrong, reply.body]));
      assert.deepEqual(Object.keys(reply.body.error), ["message", "type", "param", "code"]);
      assert.match(reply.body.error.message, message);
      if (param !== undefined) assert.equal(reply.body.error.param, param);
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

Deno.test("a job holds out several files, called by their names or by others", async () => {
  await inTemporaryDirectory(async (output) => {
    const worker = new StandIn();
    await using served = workshop(output, { worker });
    const of = async (eval_dataset: unknown, rest: object = {}) => {
      const request = tiny({ smoldpo: { max_steps: 3, eval_dataset, ...rest } });
      return (await served.ask(`${JOBS}/preview`, request)).body;
    };
    const sets = {
      fixtures: "fixtures/pairs/train.jsonl",
      "held-out": "fixtures/pairs/eval.jsonl",
    };
    const list = await of(["fixtures", "held-out"]);
    assert.deepEqual(list.options.eval_dataset, sets);
    assert.match(
      list.command,
      /--eval-dataset fixtures=\S+train\.jsonl --eval-dataset held-out=\S+eval\.jsonl/,
    );
    const map = { math: "fixtures", chat: "fixtures" };
    const rest = { eval_strategy: "steps", metric_for_best_model: "math_kl" };
    const { options } = await of(map, rest);
    assert.deepEqual(options.eval_dataset, { math: sets.fixtures, chat: sets.fixtures });
    assert.equal((await of("held-out")).options.eval_dataset, sets["held-out"]);
    assert.equal((await of(null)).options.eval_dataset, null);

    const refused = async (metric_for_best_model: string, rest: object, message: RegExp) => {
      const smoldpo = { max_steps: 3, eval_strategy: "epoch", metric_for_best_model, ...rest };
      for (const path of [JOBS, `${JOBS}/preview`]) {
        const reply = await served.ask(path, tiny({ smoldpo }));
        assert.equal(reply.status, 400, JSON.stringify(reply.body));
        assert.match(reply.body.error.message, message);
      }
    };
    const one = { eval_dataset: "held-out" };
    await refused(
      "f1",
      one,
      /^Expected --metric-for-best-model to be one of loss, .*, found "f1"$/,
    );
    await refused("kl", { eval_dataset: map }, /one of math_loss, .*chat_loss, .*, found "kl"$/);
    await refused("french_loss", { eval_dataset: map }, /found "french_loss"$/);
    await refused("loss", { eval_dataset: map, load_best_model_at_end: true }, /found "loss"$/);
    await refused("rewards/margins_ci95", one, /found "rewards\/margins_ci95"$/);
    await refused("kl_mismatched", one, /found "kl_mismatched"$/);
    await refused("kl", { ...one, loss_type: "simpo" }, /found "kl"$/);
    await refused("length/accuracies", { ...one, loss_type: "kto" }, /found "length\/accuracies"$/);
    await refused("filtered_loss", one, /found "filtered_loss"$/);
    await refused("answers/helpful", { eval_dataset: map }, /found "answers\/helpful"$/);
    const known: [metric: string, rest: object][] = [
      ["kl_mismatched", { ...one, loss_type: "kto" }],
      ["eval_filtered_rewards/accuracies_longer", { ...one, filter: "strong" }],
      ["answers/helpful", one],
      ["chat_answers/correct", { eval_dataset: map }],
      ["completions/seq_rep_4", one],
      ["loss", { eval_dataset: map }],
    ];
    for (const [metric_for_best_model, rest] of known) {
      const { eval_dataset, ...others } = { eval_dataset: "", ...rest };
      const found = await of(eval_dataset, {
        eval_strategy: "epoch",
        metric_for_best_model,
        ...others,
      });
      assert.equal(found.options.metric_for_best_model, metric_for_best_model);
    }

    const smoldpo = { max_steps: 3, eval_dataset: map };
    const job = (await served.ask(JOBS, tiny({ smoldpo }))).body;
    assert.deepEqual([job.validation_file, job.smoldpo.eval_dataset], [null, map]);
    assert.deepEqual(
      (await served.ask(JOBS, tiny({ smoldpo: { eval_dataset: "held-out" } }))).body
        .validation_file,
      "held-out",
    );
    await served.queue.close();
  });
});
