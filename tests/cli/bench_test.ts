import assert from "node:assert/strict";
import { SMALL } from "../../src/bench/models.ts";
import { equalPairs } from "../../src/bench/pairs.ts";
import type { BenchSizes } from "../../src/bench/sizes.ts";
import { type BenchReport, run } from "../../src/cli/bench.ts";
import { resolveOptions } from "../../src/config/resolve.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { MemoryOutput } from "./output.ts";

const config = parseModelConfig({
  ...SMALL.raw,
  hidden_size: 32,
  num_attention_heads: 2,
  intermediate_size: 48,
  vocab_size: 96,
});
const step = { config, pairs: equalPairs(2, 12, 5, config.vocabSize), repetitions: 1 };
const TINY: BenchSizes = {
  kernels: { config, M: 32, headRows: 8, sequence: 16, repetitions: 1 },
  steps: [{ ...step, name: "run", steps: 1 }, { ...step, name: "recorded only", steps: 0 }],
  ladder: { config, pairs: 2, steps: 1, repetitions: 1 },
  sharing: {
    ...step,
    name: "tiny",
    promptTokens: 3,
    newTokens: 4,
    answers: 2,
    steps: 2,
  },
  peers: { products: [{ name: "tiny", M: 5, N: 12, K: 8 }], turns: 1, steps: 1 },
  decode: [
    { name: "tiny", config, batches: [1, 2], promptTokens: 3, newTokens: 4, repetitions: 1 },
  ],
};

async function bench(...flags: [string, string][]) {
  const stdout = new MemoryOutput();
  const stderr = new MemoryOutput();
  const engine = Deno.env.get("SMOLDPO_ENGINE") ?? "deno";
  const { options } = resolveOptions("bench", { flags: [["engine", engine], ...flags] });
  await run(options, { stdout, stderr }, TINY);
  return { stdout: stdout.text, stderr: stderr.text };
}

const positive = (value: number | null) => value !== null && value > 0 && Number.isFinite(value);

Deno.test("bench --json tells where and what it measured, and every speed", async () => {
  const { stdout } = await bench(["json", "true"]);
  const report: BenchReport = JSON.parse(stdout);
  assert.ok(report.device.description.length > 0);
  assert.ok(!Number.isNaN(Date.parse(report.date)));
  assert.ok(report.commit === null || /^[0-9a-f]{40}$/.test(report.commit), `${report.commit}`);

  const { speeds } = report.kernels!;
  for (const kernel of ["matmul_forward", "attention_backward", "adamw", "logprob_forward"]) {
    assert.ok(speeds.some((speed) => speed.kernel === kernel), kernel);
  }
  for (const { kernel, milliseconds, gflops, gbps } of speeds) {
    assert.ok(positive(milliseconds) && positive(gbps), kernel);
    assert.ok(positive(gflops) || kernel === "embedding_forward", kernel);
  }

  const [ran, recorded] = report.steps!;
  assert.equal(ran.tokens, 48);
  assert.equal(ran.packedTokens, 38);
  assert.ok(positive(ran.milliseconds) && positive(ran.tokensPerSecond), "speed");
  assert.ok(positive(ran.recordMilliseconds) && positive(ran.memoryBytes), "costs");
  if (ran.kernels) assert.ok(ran.kernels.some(({ kernel }) => kernel === "adamw"));
  assert.equal(recorded.milliseconds, null);
  assert.ok(positive(recorded.recordMilliseconds), "recording is timed without running");

  assert.deepEqual(report.decode!.map(({ batch }) => batch), [1, 2]);
  for (const speed of report.decode!) {
    assert.ok(positive(speed.tokensPerSecond) && positive(speed.firstTokenMilliseconds));
    assert.ok(positive(speed.prefillTokensPerSecond));
    if (speed.busy !== null) assert.ok(speed.busy > 0 && speed.busy < 1, `busy ${speed.busy}`);
  }

  const { speeds: sharing } = report.sharing!;
  assert.deepEqual(
    sharing.map((speed) => [
      positive(speed.answerMilliseconds) && positive(speed.firstTokenMilliseconds),
      positive(speed.stepMilliseconds),
    ]),
    [[true, false], [false, true], [false, true], [true, true], [true, true]],
  );

  const { dtypes, fileBytes, milliseconds } = report.load!;
  assert.deepEqual([dtypes, fileBytes], [["F32"], 4 * 2_066_496], "the shipped model");
  assert.ok(positive(milliseconds));

  const peers = report.peers!;
  if ("missing" in peers) assert.match(peers.missing, /python3: .*apt install/);
  else {
    assert.ok(positive(peers.step.ratio) && peers.step.pairs === 8);
    assert.deepEqual(peers.products.map(({ shape, ratio }) => [shape, positive(ratio)]), [
      ["tiny 5 x 12 x 8", true],
    ]);
  }

  const { rungs } = report.ladder!;
  assert.equal(rungs.length, 7);
  for (const [i, { rung, predictedGain, measuredSpeedup }] of rungs.entries()) {
    assert.ok(positive(measuredSpeedup), rung);
    assert.ok(i === 0 || predictedGain > 1, `${rung}: expected less work than before`);
  }
});

Deno.test("bench --suite measures that part alone, as a table", async () => {
  const { stdout, stderr } = await bench(["suite", "ladder"]);
  assert.doesNotMatch(stderr, /^(device|step) /m);
  assert.match(stdout, /^device .*\nprecision .*\ncommit /);
  assert.match(stdout, /\+ cached trunk/);
  assert.doesNotMatch(stdout, /matmul_forward/);
});
