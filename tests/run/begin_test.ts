import assert from "node:assert/strict";
import { resolveOptions } from "../../src/config/resolve.ts";
import { localPorts } from "../../src/platform/local_ports.ts";
import { train } from "../../src/run/train.ts";
import { inTemporaryDirectory, jsonLines } from "../e2e/command.ts";
import { readMetrics, readModel, writeModel } from "../e2e/inputs.ts";
import { byteTokenizerFiles } from "../text/byte_tokenizer.ts";

/** Writes the time before each conversation. */
const DATED = "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}{{ m.content }}" +
  "<|im_end|>{% endfor %}";
const FIRST_DAY = new Date(2026, 0, 30, 12);
const NEXT_DAY = new Date(2026, 0, 31, 12);

Deno.test("begin: a run goes on with the date that its chat template wrote at its begin", () =>
  inTemporaryDirectory(async (directory) => {
    const model = await writeModel(`${directory}/model`);
    for (const [name, text] of Object.entries(byteTokenizerFiles([], { chat_template: DATED }))) {
      await Deno.writeTextFile(`${model}/${name}`, text);
    }
    const turn = (role: string, content: string) => [{ role, content }];
    const rows = Array.from({ length: 4 }, (_, i) => ({
      prompt: turn("user", `q${i}`),
      chosen: turn("assistant", "yes"),
      rejected: turn("assistant", "no"),
    }));
    const dataset = `${directory}/pairs.jsonl`;
    await Deno.writeTextFile(dataset, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

    const run = async (output: string, now: Date, more: Record<string, unknown> = {}) => {
      const given = {
        ...{ model, dataset, output, cache: false, numTrainEpochs: 1 },
        ...{ perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1 },
        ...{ saveSteps: 1, saveTotalLimit: 9, ...more },
      };
      const resolved = resolveOptions("train", { flags: Object.entries(given) });
      return await train(resolved, { ...localPorts({ say: () => {} }), now: () => now }, () => {});
    };
    const whole = `${directory}/whole`;
    await run(whole, FIRST_DAY);
    const other = `${directory}/other`;
    await run(other, NEXT_DAY);
    assert.notDeepEqual(
      await readModel(other),
      await readModel(whole),
      "the date makes a difference",
    );

    const resumed = `${directory}/resumed`;
    await run(resumed, NEXT_DAY, { resume: `${whole}/checkpoints/step-2` });
    assert.deepEqual(await readModel(resumed), await readModel(whole));

    const begin = jsonLines<{ begunAt: string }>(await Deno.readTextFile(`${resumed}/begin.json`));
    assert.deepEqual(begin, [{ begunAt: FIRST_DAY.toISOString() }]);
    const metrics = await readMetrics(resumed);
    await run(resumed, NEXT_DAY, { resume: "latest" });
    assert.deepEqual(await readMetrics(resumed), metrics);
  }));
