import assert from "node:assert/strict";
import type { DataOptions } from "../../src/data/pairs.ts";
import { loadSequences } from "../../src/data/sequences.ts";
import { byteTokenizer, END } from "../text/byte_tokenizer.ts";

const options: DataOptions = {
  maxLengthTokens: 64,
  truncation: "keep_start",
  appendEos: true,
  score: "all",
  vocabSize: 200,
};
const rows = (...values: Record<string, unknown>[]) =>
  values.map((value, i) => ({ where: `f.jsonl, line ${i + 1}`, value }));

Deno.test("sequences: text, with its end; all but the first token can be predicted", async () => {
  const tokenizer = await byteTokenizer();
  const { sequences, counts, format } = await loadSequences(
    rows({ text: "ab" }, { text: "" }, { text: "c" }),
    tokenizer,
    options,
  );
  const [a, b, c] = tokenizer.encode("abc");
  assert.deepEqual(sequences, [
    { index: 0, ids: Uint32Array.of(a, b, END), promptLength: 1 },
    { index: 2, ids: Uint32Array.of(c, END), promptLength: 1 },
  ]);
  assert.equal(format, "text");
  assert.deepEqual([counts.rows, counts.kept, counts.droppedEmptyCompletion], [3, 2, 1]);
});

Deno.test("sequences: messages end their prompt before the last answer", async () => {
  const tokenizer = await byteTokenizer();
  const turns = ["user", "assistant", "user", "assistant"].map((role, i) => ({
    role,
    content: `${i}`,
  }));
  const { sequences: [{ ids, promptLength }] } = await loadSequences(
    rows({ messages: turns }),
    tokenizer,
    { ...options, maxLengthTokens: 999 },
  );
  assert.equal(tokenizer.decode(ids.slice(promptLength)), "3<|im_end|>\n");
  assert.ok(
    tokenizer.decode(ids.slice(0, promptLength)).endsWith("2<|im_end|>\n<|im_start|>assistant\n"),
  );
});

Deno.test("sequences: token ids, cut and counted", async () => {
  const { sequences, counts } = await loadSequences(
    rows({ input_ids: [1, 2, 3, 4], prompt_length: 2 }, { input_ids: [5, 6] }),
    null,
    { ...options, maxLengthTokens: 3 },
  );
  assert.deepEqual(sequences, [
    { index: 0, ids: Uint32Array.of(1, 2, 3), promptLength: 2 },
    { index: 1, ids: Uint32Array.of(5, 6), promptLength: 1 },
  ]);
  assert.deepEqual([counts.truncatedRows, counts.truncatedTokens], [1, 1]);
});
