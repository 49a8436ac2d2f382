import assert from "node:assert/strict";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { JOBS, tiny } from "./jobs.ts";
import { workshop } from "./served.ts";

const RUNS = "/v1/runs";

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
      const status = id === "." ? 405 : 404; // of the run that is called "serve"
      assert.equal((await served.ask(`${RUNS}/${id}/serve`, {})).status, status, id);
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
