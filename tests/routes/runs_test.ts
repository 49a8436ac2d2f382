import assert from "node:assert/strict";
import { inTemporaryDirectory, runOk } from "../e2e/command.ts";
import { readModel } from "../e2e/inputs.ts";
import { until } from "../e2e/server.ts";
import { JOBS, live, tiny } from "./jobs.ts";
import { messages, serving, workshop } from "./served.ts";

const RUNS = "/v1/runs";

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
    await using served = workshop(output, { most: 2 });
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
    const { gpuBytes } = await serving.load();
    assert.equal(await answerOf(served, `${id}:step-2`), before);
    assert.ok((await serving.load()).gpuBytes > gpuBytes);
    const full = await served.ask(`${RUNS}/again/serve`, {});
    assert.equal(full.status, 429);
    assert.match(full.body.error.message, /at most 2 trained models.*unload one/);
    const remove = (model: string) =>
      served.ask(`/v1/models/${model}`, undefined, { method: "DELETE" });
    assert.equal((await remove(`${id}:step-2`)).body.deleted, true);
    assert.equal((await serving.load()).gpuBytes, gpuBytes);
    assert.equal((await served.ask(`${RUNS}/again/serve`, {})).body.id, "again");
    assert.equal(await answerOf(served, "again"), before);

    // Unloaded while it answers: the answer is whole, then the model is gone.
    const long = { model: "again", prompt: "The", max_tokens: 60, ignore_eos: true };
    const answering = served.ask("/v1/completions", long);
    await until(async () => (await serving.load()).running > 0, 10_000);
    assert.equal((await remove("again")).status, 200);
    assert.equal((await answering).body.usage.completion_tokens, 60);
    assert.equal((await serving.load()).gpuBytes, gpuBytes);
    assert.equal((await remove("again")).status, 404);
    assert.equal((await remove("ft:policy:mine")).status, 200);
    assert.equal(await answerOf(served, "ft:policy:mine"), before, "loaded again, by its name");
    assert.equal((await remove("policy")).status, 400);
  });
});

Deno.test("names that are no runs find nothing, whatever is there", async () => {
  await inTemporaryDirectory(async (output) => {
    await using served = workshop(`${output}/runs`);
    const record = {
      command: "train",
      options: {},
      origins: {},
      startedAt: "2026-01-01T00:00:00Z",
      durationSeconds: 1,
      data: [],
    };
    const write = async (folder: string, files: Record<string, string>) => {
      await Deno.mkdir(`${output}/${folder}`, { recursive: true });
      for (const [name, text] of Object.entries(files)) {
        await Deno.writeTextFile(`${output}/${folder}/${name}`, text);
      }
    };
    await write("outside", { "run.json": JSON.stringify(record), "config.json": "{}" });
    await write("runs/broken", { "run.json": "{" });
    await write("runs/foreign", { "run.json": '{"command": 1}' });
    await write("runs/.hidden", { "run.json": JSON.stringify(record) });
    await write("runs/good", {
      "run.json": JSON.stringify(record),
      "metrics.jsonl": '{"step": 1}\n{"st',
    });
    await Deno.symlink(`${output}/outside`, `${output}/runs/link`);
    await Deno.symlink(`${output}/outside/run.json`, `${output}/runs/good/report.html`);

    const { data } = (await served.ask(RUNS)).body;
    assert.deepEqual(data.map(({ id }: { id: string }) => id), ["good"]);
    assert.equal(data[0].steps, 1);
    assert.equal((await served.ask(`${RUNS}/good/report`)).status, 404);
    for (
      const id of ["link", ".hidden", "broken", "foreign", "..", "%2e%2e%2foutside", "good%00", "."]
    ) {
      assert.equal((await served.ask(`${RUNS}/${id}`)).status, 404, id);
      assert.equal((await served.ask(`${RUNS}/${id}/serve`, {})).status, 404, id);
    }
    for (
      const model of [
        "link",
        "../outside",
        "good",
        "good:step-1",
        "good:step-../..",
        "/etc",
        "runs",
      ]
    ) {
      const asked = { model, prompt: "a" };
      assert.equal((await served.ask("/v1/completions", asked)).status, 404, model);
      assert.equal((await served.ask(JOBS, tiny({ model }))).status, 404, model);
    }
  });
});
