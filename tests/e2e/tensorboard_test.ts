import assert from "node:assert/strict";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory, runOk } from "./command.ts";
import { inputFlags, readMetrics, writeInputs } from "./inputs.ts";

interface Answer {
  version: string;
  /** Step and value, by tag. */
  scalars: Record<string, [step: number, value: number][]>;
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
