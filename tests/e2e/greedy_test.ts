import assert from "node:assert/strict";
import { resolve } from "node:path";
import { openStoredModel } from "../../src/platform/models.ts";
import { loadModel } from "../../src/model/load.ts";
import { generate } from "../../src/generate/generate.ts";
import { GREEDY } from "../../src/kernels/sample.ts";
import type { Message } from "../../src/text/chat.ts";
import { encodeChat } from "../../src/text/prompt.ts";
import { gpu } from "../kernels/harness.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { jsonLines } from "./command.ts";

const NEW_TOKENS = 32;

const lack = await lackOfPython("torch", "transformers");
Deno.test(
  unless(lack, "the shipped model continues 50 prompts as transformers lets it"),
  async () => {
    using stored = await openStoredModel("fixtures/model");
    const rows = jsonLines<{ prompt: Message[] }>(
      await Deno.readTextFile("fixtures/pairs/eval.jsonl"),
    );
    const prompts = rows.slice(0, 50).map(({ prompt }) => encodeChat(stored.tokenizer!, prompt));
    const theirs = await askPython<number[][]>(new URL("greedy_peer.py", import.meta.url), {
      directory: resolve("fixtures/model"),
      prompts,
      new_tokens: NEW_TOKENS,
    });
    const model = await loadModel(gpu, stored, { precision: "f32", positions: 128 });
    const ours = await generate(model, prompts, {
      ...GREEDY,
      maxNewTokens: NEW_TOKENS,
      stopIds: stored.stopIds,
    });
    assert.equal(prompts.length, 50);
    assert.deepEqual(ours.map(({ ids }) => ids), theirs);
    assert.ok(ours.some(({ finishReason }) => finishReason === "stop"));
  },
);
