import assert from "node:assert/strict";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { serve } from "./server.ts";

interface Answered {
  // deno-lint-ignore no-explicit-any -- of many shapes
  answers: any;
  errors: unknown[];
  training: Record<string, unknown> & { output: string };
}

const lack = await lackOfPython("openai");
Deno.test(
  unless(lack, "OpenAI's client for Python works with the server unchanged, uploads and trains"),
  async () => {
    await using server = await serve("--reference", "fixtures/model");
    const peer = new URL("openai_peer.py", import.meta.url);
    const answered = await askPython<Answered>(peer, { address: server.address });
    const { answers, errors, training } = answered;
    await Deno.remove(training.output, { recursive: true });

    const { content, logprobs, stopped: [reason, before, word], ...rest } = answers;
    assert.match(content, /honey/);
    assert.ok(logprobs.length > 5 && logprobs.every(Boolean));
    assert.deepEqual([reason, before], ["stop", content.slice(0, content.indexOf(word))]);
    assert.deepEqual(rest, {
      models: ["policy", "model"],
      streamed: true,
      same_usage: true,
      repeated: true,
      differ: true,
      scored: ["The quazzit", null, true],
    });
    assert.deepEqual(errors, [
      ["RateLimitError", 429, "queue_full"],
      ["APIStatusError", 413, null],
      ["AuthenticationError", 401, "invalid_api_key"],
      ["NotFoundError", 404, "model_not_found"],
      ["BadRequestError", 400, null],
      ["NotFoundError", 404, "file_not_found"],
      ["BadRequestError", 400, null],
    ]);
    const { output: _, ...trained } = training;
    assert.deepEqual(trained, {
      status: "succeeded",
      model: "ft:policy:python",
      steps: [2, 1],
      same: true,
      unloaded: true,
      file_gone: true,
    });
  },
);
