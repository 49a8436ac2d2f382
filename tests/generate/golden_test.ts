/** Generation of the golden cases through the public command; see the README there for what each number means. */
import assert from "node:assert/strict";
import { loadModel } from "../../src/model/load.ts";
import { decodeHead } from "../../src/generate/decode.ts";
import { kvCache } from "../../src/generate/kv_cache.ts";
import { prefill } from "../../src/generate/prefill.ts";
import { openStoredModel } from "../../src/platform/models.ts";
import { Commands } from "../../src/gpu/commands.ts";
import { createTensor, readTensor } from "../../src/gpu/tensor.ts";
import { runOk } from "../e2e/command.ts";
import { assertNear, goldenCases } from "../e2e/golden.ts";
import { assertClose, gpu } from "../kernels/harness.ts";

interface Generation {
  prompt: number[];
  greedy: number[];
  first_top5: [id: number, logit: number][];
  first_logits_mean: number;
  first_logits_l2: number;
}

interface Expected {
  generation: Generation[];
  generation_text?: { text: string; ids: number[]; greedy: number[]; decoded: string }[];
  next_token?: { text: string; kept: number[]; probs: number[] }[];
}

interface Questions {
  generation_text?: { new_tokens: number; stop?: number[] }[];
  next_token?: { temperature: number; top_k: number; top_p: number }[];
}

const LOGIT = { absolute: 1e-3, relative: 1e-4 };
const PROBABILITY = { absolute: 2e-5, relative: 1e-3 };

const cases = await goldenCases();

for (const golden of cases) {
  const path = `${golden.path}/model`;
  const expected = golden.expected as unknown as Expected;
  const questions: Questions = JSON.parse(await Deno.readTextFile(`${golden.path}/case.json`));
  const ask = async (...flags: (string | number)[]) =>
    JSON.parse((await runOk("generate", "--model", path, "--json", ...flags)).stdout);

  Deno.test(`${golden.name}: greedy continuations of ids`, async () => {
    for (const { prompt, greedy } of expected.generation) {
      const flags = ["--prompt-ids", prompt.join(), "--max-new-tokens", greedy.length];
      assert.deepEqual((await ask(...flags, "--ignore-eos")).ids, greedy);
    }
  });

  Deno.test(`${golden.name}: logits after the prompt`, async () => {
    const model = await loadModel(
      gpu,
      await openStoredModel(path),
      {
        precision: "f32",
        positions: 64,
      },
    );
    const { hiddenSize: C, vocabSize: V } = model.weights.config;
    const { generation } = expected;
    let rows = 0;
    const prompts = generation.map(({ prompt }) => ({ prompt, firstRow: rows += prompt.length }));
    const y = createTensor(gpu, "y", "f32", [generation.length, C]);
    prefill(model, kvCache(model, 2 * rows), y, prompts);
    const commands = new Commands(gpu);
    const logits = decodeHead(commands, model, y);
    commands.submit();
    const all = await readTensor(gpu, logits);
    for (const [b, { first_top5, ...first }] of generation.entries()) {
      const row = all.subarray(b * logits.shape[1], b * logits.shape[1] + V);
      const order = Array.from(row.keys()).sort((i, j) => row[j] - row[i]);
      assert.deepEqual(order.slice(0, 5), first_top5.map(([id]) => id));
      for (const [id, logit] of first_top5) assertNear(row[id], logit, LOGIT, `logit of ${id}`);
      const mean = row.reduce((sum, logit) => sum + logit, 0) / V;
      assertNear(mean, first.first_logits_mean, LOGIT, "mean");
      assertNear(Math.hypot(...row), first.first_logits_l2, LOGIT, "l2");
    }
  });

  for (const [i, { text, greedy, decoded }] of (expected.generation_text ?? []).entries()) {
    Deno.test(`${golden.name}: greedy continuation of text ${i}`, async () => {
      const { new_tokens, stop } = questions.generation_text![i];
      const flags = ["--prompt", text, "--no-chat", "--max-new-tokens", new_tokens];
      const found = await ask(...flags, ...(stop ? [] : ["--ignore-eos"]));
      assert.deepEqual(found.ids, greedy);
      assert.equal(found.text, decoded);
    });
  }

  for (const [i, { text, kept, probs }] of (expected.next_token ?? []).entries()) {
    Deno.test(`${golden.name}: distribution of the next token ${i}`, async () => {
      const { temperature, top_k, top_p } = questions.next_token![i];
      const sampling = ["--temperature", temperature, "--top-k", top_k, "--top-p", top_p];
      const found = await ask("--prompt", text, "--no-chat", "--probabilities", ...sampling);
      const probability = new Map<number, number>(
        found.ids.map((id: number, j: number) => [id, found.probabilities[j]]),
      );
      assert.deepEqual([...probability.keys()].sort((a, b) => a - b), kept);
      assertClose(kept.map((id) => probability.get(id)!), probs, PROBABILITY);
    });
  }
}
