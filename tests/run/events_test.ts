/** Trainings as a program has them, without a command line. */
import assert from "node:assert/strict";
import { RunPrinter } from "../../src/cli/run_printer.ts";
import { resolveOptions } from "../../src/config/resolve.ts";
import { localPorts } from "../../src/platform/local_ports.ts";
import { evaluate } from "../../src/run/evaluate.ts";
import type { RunEvent } from "../../src/run/events.ts";
import { score } from "../../src/run/score.ts";
import { sft } from "../../src/run/sft.ts";
import { train } from "../../src/run/train.ts";
import { MemoryOutput } from "../cli/output.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { writeModel, writePairs } from "../e2e/inputs.ts";
import { randomPairs } from "../model/small_models.ts";

const engine = Deno.env.get("SMOLDPO_ENGINE") === "dawn" ? "dawn" : "deno";
const COMMON = { engine, precision: "f32", cache: false, maxLength: 64 } as const;
const flags = (options: Record<string, unknown>) => Object.entries({ ...COMMON, ...options });

/** A model of random weights and pairs for it. */
async function inputs(path: string) {
  return {
    model: await writeModel(`${path}/model`),
    dataset: await writePairs(`${path}/pairs.jsonl`, randomPairs(1, 6, 113, 30)),
  };
}

function ports(signal?: AbortSignal) {
  return localPorts({ say: () => {}, signal });
}

const typesOf = (events: readonly RunEvent[]) => events.map(({ type }) => type);

Deno.test("a training tells what happens in order, as data that can be sent to another thread", () =>
  inTemporaryDirectory(async (path) => {
    const { model, dataset } = await inputs(path);
    const events: RunEvent[] = [];
    const given = { model, dataset, evalDataset: dataset, output: `${path}/run` };
    const resolved = resolveOptions("train", {
      flags: flags({ ...given, perDeviceTrainBatchSize: 2 }),
    });
    const result = await train(resolved, ports(), (event) => events.push(structuredClone(event)));
    assert.deepEqual(typesOf(events), [
      ...["planned", "evaluated", "started", "checked", "stepped", "stepped", "stepped"],
      ...["evaluated", "compared", "doubted", "doubted", "diagnosed", "saved"],
    ]);
    const told = events.flatMap((event) =>
      event.type === "stepped" || event.type === "evaluated" ? [event.metrics] : []
    );
    assert.deepEqual(told, result.metrics);
    assert.deepEqual([result.finished, result.steps, result.output], [true, 3, `${path}/run`]);
    const [planned] = events;
    assert.ok(planned.type === "planned");
    assert.deepEqual([planned.plan.totalSteps, planned.plan.rowsPerStep], [3, 2]);
    assert.equal(planned.plan.data.record.counts.kept, 6);

    // What is printed to those who ask for details is what the record has, and others see a part of it.
    const { header } = JSON.parse(await Deno.readTextFile(`${path}/run/run.json`));
    for (const verbose of [true, false]) {
      const output = new MemoryOutput();
      const shown = () => ({});
      const printer = new RunPrinter(output, { command: "train", verbose, loggingSteps: 9, shown });
      for (const event of events) printer.show(event);
      const lines = output.text.split("\n");
      assert.equal(header.every((line: string) => lines.includes(line)), verbose);
      assert.ok(lines.includes(header[0]));
    }
  }));

Deno.test("a training that is interrupted says so, and goes on from its checkpoint", () =>
  inTemporaryDirectory(async (path) => {
    const { model, dataset } = await inputs(path);
    const given = { model, dataset, perDeviceTrainBatchSize: 2, output: `${path}/run` };
    const begun = resolveOptions("train", { flags: flags(given) });
    const controller = new AbortController();
    const events: RunEvent[] = [];
    const first = await train(begun, ports(controller.signal), (event) => {
      events.push(event);
      if (event.type === "stepped") controller.abort();
    });
    assert.equal(first.finished, false);
    assert.deepEqual(events.at(-1), {
      type: "interrupted",
      step: first.steps,
      output: `${path}/run`,
    });
    assert.ok(first.steps < 3);
    const again = resolveOptions("train", { flags: flags({ ...given, resume: "latest" }) });
    const rest: RunEvent[] = [];
    const second = await train(again, ports(), (event) => rest.push(event));
    assert.deepEqual([second.finished, second.steps], [true, 3]);
    assert.deepEqual(rest.find(({ type }) => type === "resumed"), {
      type: "resumed",
      step: first.steps,
      totalSteps: 3,
    });
    assert.ok(!typesOf(rest).includes("checked"));
  }));

Deno.test("text is trained on, evaluated and saved with the same events", () =>
  inTemporaryDirectory(async (path) => {
    const rows = "fixtures/text/train.jsonl.gz[:4]";
    const events: RunEvent[] = [];
    const given = { dataset: rows, evalDataset: rows, maxSteps: 1, output: `${path}/run` };
    const resolved = resolveOptions("sft", { flags: flags(given) });
    const { finished } = await sft(resolved, ports(), (event) => events.push(event));
    assert.ok(finished);
    assert.deepEqual(typesOf(events), [
      ...["planned", "evaluated", "started", "stepped", "evaluated", "diagnosed", "saved"],
    ]);
  }));

Deno.test("an evaluation returns what it found, scores are told one by one, and neither prints", () =>
  inTemporaryDirectory(async (path) => {
    const { model, dataset } = await inputs(path);
    const events: RunEvent[] = [];
    const emit = (event: RunEvent) => void events.push(event);
    const found = await evaluate(
      resolveOptions("eval", { flags: flags({ model, dataset }) }),
      ports(),
      emit,
    );
    assert.equal(found?.pairs, 6);
    assert.ok(Math.abs(found.metrics.eval_loss - Math.LN2) < 1e-6);
    await score(resolveOptions("score", { flags: flags({ model, dataset }) }), ports(), emit);
    assert.deepEqual(typesOf(events), ["loaded", "loaded", ...Array(6).fill("scored")]);
    assert.equal(
      await evaluate(
        resolveOptions("eval", { flags: flags({ model, dataset }) }),
        ports(AbortSignal.abort()),
        emit,
      ),
      null,
    );
  }));
