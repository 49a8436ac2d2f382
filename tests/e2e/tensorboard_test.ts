import assert from "node:assert/strict";
import type { StepSample } from "../../src/report/run_record.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory, jsonLines, runOk } from "./command.ts";
import { inputFlags, readMetrics, writeInputs } from "./inputs.ts";

interface Answer {
  version: string;
  /** Step and value, by tag. */
  scalars: Record<string, [step: number, value: number][]>;
  /** Step and rows of cells, by tag. */
  texts: Record<string, [step: number, rows: string[][]][]>;
}

const lack = await lackOfPython("tensorboard");
Deno.test(
  unless(lack, "TensorBoard reads all metrics of a run, also of a resumed one"),
  () =>
    inTemporaryDirectory(async (directory) => {
      const inputs = inputFlags(await writeInputs(directory, 20));
      const train = (...flags: (string | number)[]) =>
        runOk(
          "train",
          ...[...inputs, "--batch-size", 2, "--max-length", 64, "--report-to", "tensorboard"],
          ...["--output", `${directory}/run`, ...flags],
        );
      await train("--max-steps", 3, "--save-steps", 2);
      await train("--max-steps", 5, "--resume"); // from step 2 on
      const metrics = await readMetrics(`${directory}/run`);
      const script = new URL("tensorboard_peer.py", import.meta.url);
      const { version, scalars } = await askPython<Answer>(script, {
        directory: `${directory}/run`,
      });
      console.log(`tensorboard ${version}`);
      const names = new Set(metrics.flatMap((line) => Object.keys(line)));
      names.delete("step");
      assert.deepEqual(new Set(Object.keys(scalars)), names);
      for (const name of names) {
        const expected = metrics.filter((line) => name in line)
          .map((line) => [line.step, Math.fround(line[name])]);
        assert.deepEqual(scalars[name], expected, name);
      }
    }),
);

Deno.test(
  unless(lack, "TensorBoard reads the samples of each evaluation and held-out set as tables"),
  () =>
    inTemporaryDirectory(async (directory) => {
      const path = `${directory}/run`;
      const flags = [
        ...["--max-pairs", 16, "--batch-size", 2, "--max-length", 96, "--report-to", "tensorboard"],
        ...["--eval-dataset", "few=fixtures/pairs/eval.jsonl[:2]"],
        ...["--eval-dataset", "more=fixtures/pairs/eval.jsonl[2:5]"],
        ...["--eval-strategy", "steps", "--eval-steps", 2, "--output", path],
      ];
      await runOk("train", ...flags, "--max-steps", 3, "--save-steps", 2);
      await runOk("train", ...flags, "--max-steps", 4, "--resume"); // from step 2 on
      const script = new URL("tensorboard_peer.py", import.meta.url);
      const { texts } = await askPython<Answer>(script, { directory: path });
      const samples = jsonLines<StepSample>(await Deno.readTextFile(`${path}/samples.jsonl`));
      const tables = ["few", "more"].map((set) => [
        `samples/${set}`,
        [0, 2, 4].map((step) => [
          step,
          [
            ["prompt", "reference", "policy"],
            ...samples.filter((sample) => sample.set === set && sample.step === step)
              .map(({ prompt, reference, policy }) => [prompt, reference, policy]),
          ],
        ]),
      ]);
      assert.equal(samples.length, 15);
      assert.deepEqual(texts, Object.fromEntries(tables));
    }),
);
