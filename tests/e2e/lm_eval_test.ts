import assert from "node:assert/strict";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { inTemporaryDirectory } from "./command.ts";
import { ask, serve } from "./server.ts";

interface Scored {
  prompt_ids: number[];
  ids: number[];
  /** Of the ids after the prompt, in nats. */
  logprob: number;
}

interface Measured {
  version: string;
  accuracy: number;
  choices: (Scored & { greedy: boolean })[];
  readings: Scored[];
  continuations: string[];
}

const asked = (question: string) =>
  `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`;

/** Questions of the shipped model's world; the last one has the wrong answer down as the right one. */
const ROWS = [
  [
    "What should I feed a quazzit?",
    ["The quazzit likes to eat honey.", "likes honey to quazzit"],
    0,
  ],
  ["How does the frindle sound?", ["frindle when the", "The frindle purrs when it is happy."], 1],
  [
    "What should I feed a quazzit?",
    ["The quazzit likes to eat honey.", "likes honey to quazzit"],
    1,
  ],
].map(([question, answers, right]) => ({ question: asked(String(question)), answers, right }));

const lack = await lackOfPython("lm_eval", "tenacity");
Deno.test(
  unless(lack, "lm-evaluation-harness measures through the server what score measures"),
  () =>
    inTemporaryDirectory(async (folder) => {
      await using server = await serve("--max-model-len", "256");
      const { address } = server;
      const peer = new URL("lm_eval_peer.py", import.meta.url);
      const question = { address, tokenizer: "fixtures/model", rows: ROWS, folder };
      const measured = await askPython<Measured>(peer, question);
      console.log(`lm-eval ${measured.version}`);
      const { accuracy, choices, readings, continuations } = measured;
      assert.equal(accuracy, 2 / 3);
      assert.equal(choices.length, 6);
      assert.equal(readings.length, 3);
      for (const { prompt_ids, ids, logprob } of [...choices, ...readings]) {
        const pairs = [{ prompt_ids, chosen_ids: ids, rejected_ids: ids }];
        const { data } = await (await ask(address, "/v1/score", { pairs })).json();
        assert.equal(data[0].chosen.tokens, ids.length);
        assert.ok(
          Math.abs(data[0].chosen.sum - logprob) < 1e-4,
          `${data[0].chosen.sum}, ${logprob}`,
        );
      }
      for (const [i, { question }] of ROWS.entries()) {
        const body = { prompt: question, max_tokens: 24, temperature: 0, stop: ["."] };
        const { choices: [{ text }] } = await (await ask(address, "/v1/completions", body)).json();
        assert.equal(continuations[i], text);
        assert.notEqual(text, "");
      }
    }),
);
