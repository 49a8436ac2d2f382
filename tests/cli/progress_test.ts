import assert from "node:assert/strict";
import { clock, Progress } from "../../src/cli/progress.ts";
import { MemoryOutput } from "./output.ts";

function start(output: MemoryOutput, firstStep = 0) {
  let ms = 0;
  const progress = new Progress(output, {
    label: "train",
    totalSteps: 20,
    firstStep,
    loggingSteps: 10,
    nowMs: () => ms,
  });
  return (step: number) => {
    ms += 500;
    progress.update({ step, tokens: 1000, values: { loss: 0.69314, accuracy: 1 } });
  };
}

Deno.test("without a terminal a line comes every loggingSteps and at the end", () => {
  const output = new MemoryOutput();
  const update = start(output);
  for (let step = 1; step <= 20; step++) update(step);
  const lines = output.text.split("\n");
  assert.deepEqual(lines, [
    "train ██████████░░░░░░░░░░ 10/20  loss 0.693  accuracy 1.00  2,000 tokens/s  ETA 0:05",
    "train ████████████████████ 20/20  loss 0.693  accuracy 1.00  2,000 tokens/s  ETA 0:00",
    "",
  ]);
});

Deno.test("in a terminal every step draws over the last one, within the width", () => {
  const output = new MemoryOutput(40);
  const update = start(output);
  update(1);
  update(20);
  const lines = output.text.split("\x1b[K");
  assert.deepEqual(lines.map((line) => line.length), [40, 40, 1]);
  assert.ok(lines[0].startsWith("\rtrain █░"));
  assert.equal(lines[2], "\n");
});

Deno.test("a line of its own stands above the bar", () => {
  const [terminal, file] = [new MemoryOutput(40), new MemoryOutput()];
  for (const output of [terminal, file]) {
    new Progress(output, { label: "train", totalSteps: 2, loggingSteps: 1 }).say("skipped");
  }
  assert.equal(terminal.text, "\rskipped\x1b[K\n");
  assert.equal(file.text, "skipped\n");
});

Deno.test("the time left of a resumed run counts its own steps only", () => {
  const output = new MemoryOutput(200);
  start(output, 18)(19);
  assert.match(output.text, / 19\/20 .* ETA 0:01/);
});

Deno.test("clock shows hours only where there are some", () => {
  assert.deepEqual([0, 7.4, 750, 3723].map(clock), ["0:00", "0:07", "12:30", "1:02:03"]);
});
