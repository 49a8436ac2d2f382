/** Jobs of a server that trains and evaluates the shipped model, and the runs that they leave. */
import assert from "node:assert/strict";
import { JOBS, live, tiny } from "../routes/jobs.ts";
import { messages, workshop } from "../routes/served.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { readMetrics, readModel } from "./inputs.ts";
import { until } from "./server.ts";
import { shipped } from "./shipped_model.ts";

const EVALUATIONS = "/v1/evaluations";
const RUNS = "/v1/runs";

Deno.test("a job trains beside answers, tells of each step, and its model answers at once", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output, shipped);
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
    await using served = workshop(output, shipped);
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
    await using served = workshop(output, shipped);
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

Deno.test("an evaluation has the results of the command", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output, shipped);
    const dataset = `${output}/six.jsonl`;
    const lines = (await Deno.readTextFile("fixtures/pairs/eval.jsonl")).split("\n").slice(0, 6);
    await Deno.writeTextFile(dataset, lines.join("\n"));
    const form = new FormData();
    form.set("purpose", "fine-tune");
    form.set("file", new File([lines.join("\n")], "six.jsonl"));
    const file = (await served.ask("/v1/files", form)).body.id;
    const smoldpo = { beta: 0.3 };
    const asked = { model: "policy", reference: "reference", file, smoldpo };
    const { status, body } = await served.ask(EVALUATIONS, asked);
    assert.equal(status, 200, JSON.stringify(body));
    assert.match(body.id, /^eval-[0-9a-f]{24}$/);
    const job = served.queue.jobs.find(({ id }) => id === body.id)!;
    await Array.fromAsync(served.queue.follow(job, -1, new AbortController().signal));
    const { results, ...rest } = (await served.ask(`${EVALUATIONS}/${body.id}`)).body;
    assert.equal(rest.status, "succeeded", JSON.stringify(rest));
    const { stdout } = await runOk(
      "eval",
      ...["--model", "fixtures/model", "--reference", "fixtures/model"],
      ...["--dataset", dataset, "--beta", 0.3, "--json"],
    );
    assert.deepEqual(results, JSON.parse(stdout));
    assert.equal(results.pairs, 6);
  });
});

/** The log-probability of the first greedy token. */
async function answerOf({ ask }: ReturnType<typeof workshop>, model: string) {
  const { status, body } = await ask("/v1/chat/completions", {
    model,
    messages: messages("Hi"),
    max_tokens: 2,
    temperature: 0,
    logprobs: true,
  });
  assert.equal(status, 200, JSON.stringify(body));
  return body.choices[0].logprobs.content[0].logprob;
}

Deno.test("a job's run is listed with its measures, its report and its checkpoints, which are models by name", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(output, { most: 2, ...shipped });
    const smoldpo = { max_steps: 2, max_length: 64, learning_rate: 1e-3, save_steps: 1 };
    const request = tiny({ suffix: "mine", smoldpo: { ...smoldpo, truncation: "prompt_first" } });
    const preview = (await served.ask(`${JOBS}/preview`, request)).body;
    assert.equal(preview.options.save_steps, 1);
    const { id, smoldpo: { command } } = (await served.ask(JOBS, request)).body;
    assert.equal(command.replace(` --output ${output}/${id}`, ""), preview.command);
    await live(served, id);

    // The command line does the same, to the last bit.
    const words = preview.command.split(" ").slice(3);
    await runOk("train", ...words, "--output", `${output}/again`);
    assert.deepEqual(await readModel(`${output}/again`), await readModel(`${output}/${id}`));

    const { data } = (await served.ask(RUNS)).body;
    assert.deepEqual(data.map(({ id }: { id: string }) => id), ["again", id]);
    const [again, run] = data;
    assert.deepEqual([run.model, run.served, run.steps], ["ft:policy:mine", true, 2]);
    assert.deepEqual([again.model, again.served], ["again", false]);
    assert.equal(run.command_line, command);
    assert.equal(run.options.learning_rate, 1e-3);
    assert.equal(run.final.step, 2);
    assert.deepEqual(
      run.checkpoints,
      [1, 2].map((step) => ({ step, model: `${id}:step-${step}`, served: false })),
    );
    const whole = (await served.ask(`${RUNS}/${id}`)).body;
    assert.deepEqual(whole.metrics.map(({ step }: { step: number }) => step), [1, 2]);

    const report = await served.ask(`${RUNS}/${id}/report`);
    assert.match(report.body, /<svg/);
    const policy = report.headers.get("content-security-policy")!;
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /sandbox/);

    const kept = (await served.ask(`${JOBS}/${id}/checkpoints`)).body.data;
    assert.deepEqual(
      kept.map((each: Record<string, unknown>) => each.fine_tuned_model_checkpoint),
      [`${id}:step-2`, `${id}:step-1`],
    );
    assert.ok(kept[1].metrics.train_loss > 0.6);

    // Loaded because it is asked for, and unloaded without a trace.
    const before = await answerOf(served, "ft:policy:mine");
    const { gpuBytes } = await shipped.host.load();
    assert.equal(await answerOf(served, `${id}:step-2`), before);
    assert.ok((await shipped.host.load()).gpuBytes > gpuBytes);
    const remove = (model: string) =>
      served.ask(`/v1/models/${model}`, undefined, { method: "DELETE" });
    assert.equal((await remove(`${id}:step-2`)).body.deleted, true);
    assert.equal((await shipped.host.load()).gpuBytes, gpuBytes);
    assert.equal((await served.ask(`${RUNS}/again/serve`, {})).body.id, "again");
    assert.equal(await answerOf(served, "again"), before);

    // Of two there is room for, the one that was asked for longest ago makes room for a third.
    const further = async () => {
      const { data } = (await served.ask("/v1/models")).body;
      return data.map(({ id }: { id: string }) => id).slice(2);
    };
    assert.deepEqual(await further(), ["ft:policy:mine", "again"]);
    assert.equal(await answerOf(served, `${id}:step-1`) === before, false);
    assert.deepEqual(await further(), ["again", `${id}:step-1`]);
    assert.equal((await remove(`${id}:step-1`)).status, 200);
    assert.equal(await answerOf(served, "ft:policy:mine"), before, "loaded again, by its name");

    // Unloaded while it answers: the answer is whole, then the model is gone.
    const long = { model: "again", prompt: "The", max_tokens: 60, ignore_eos: true };
    const answering = served.ask("/v1/completions", long);
    await until(async () => (await shipped.host.load()).running > 0, 10_000);
    assert.equal((await remove("again")).status, 200);
    assert.equal((await answering).body.usage.completion_tokens, 60);
    assert.equal((await shipped.host.load()).gpuBytes, gpuBytes);
    assert.equal((await remove("again")).status, 404);
    assert.equal((await remove("ft:policy:mine")).status, 200);
    assert.equal(await answerOf(served, "ft:policy:mine"), before, "loaded again, by its name");
    assert.equal((await remove("policy")).status, 400);
  });
});
