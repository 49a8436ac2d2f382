import assert from "node:assert/strict";
import { inspectRow } from "../../src/data/inspect.ts";
import { type DataOptions, loadPairs } from "../../src/data/pairs.ts";
import type { Truncation } from "../../src/data/truncate.ts";
import { byteTokenizer } from "../text/byte_tokenizer.ts";

const options: DataOptions = {
  maxLengthTokens: 64,
  truncation: "keep_start",
  appendEos: true,
  score: "completion",
  vocabSize: 200,
};
const row = (value: Record<string, unknown>) => ({ where: "f.jsonl, line 1", value });
const tokens = (prompt_ids: number[], chosen_ids: number[], rejected_ids: number[]) =>
  row({ prompt_ids, chosen_ids, rejected_ids });

Deno.test("inspect: tokens with their text, boundary and mask", async () => {
  const tokenizer = await byteTokenizer(["a b"]);
  const { sequences: [chosen, rejected], ...rest } = inspectRow(
    row({ prompt: "ab", chosen: "b", rejected: "" }),
    tokenizer,
    { ...options, score: "all" },
  );
  assert.deepEqual(rest, {
    where: "f.jsonl, line 1",
    format: "text with prompt",
    encoding: "no begin token, end <|endoftext|> once; prompt and completion encoded one by one",
    dropped: null,
    boundaryMerged: false,
    notes: [],
  });
  assert.equal(chosen.name, "chosen");
  assert.deepEqual(chosen.tokens, [
    { id: tokenizer.encode("ab")[0], text: "ab", part: "prompt", cut: false, scored: false },
    { id: tokenizer.encode("b")[0], text: "b", part: "completion", cut: false, scored: true },
    { id: 0, text: "<|endoftext|>", part: "completion", cut: false, scored: true },
  ]);
  assert.equal(rejected.tokens.length, 2);
});

Deno.test("inspect: a dropped row shows why, and nothing in it counts", () => {
  const { dropped, sequences } = inspectRow(tokens([1, 2, 3], [4], [5]), null, {
    ...options,
    maxLengthTokens: 3,
  });
  assert.equal(dropped, "droppedPromptTooLong");
  assert.ok(
    sequences.every(({ tokens }) => tokens.length === 4 && !tokens.some(({ scored }) => scored)),
  );
  assert.equal(sequences[0].tokens[0].text, "", "no tokenizer, no text");
});

Deno.test("inspect: rows for next-token training have one side", async () => {
  const { sequences, format } = inspectRow(row({ text: "ab" }), await byteTokenizer(), options);
  assert.equal(format, "text");
  assert.deepEqual(sequences.map(({ name, tokens }) => [name, tokens.length]), [["completion", 3]]);
});

Deno.test("inspect: shows exactly what training gets, under every policy and mask", async () => {
  const example = tokens([1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11, 12], [13, 14]);
  for (
    const truncation of ["keep_start", "keep_end", "prompt_first", "proportional"] as Truncation[]
  ) {
    for (const score of ["completion", "all"] as const) {
      const changed = { ...options, truncation, score, maxLengthTokens: 8 };
      const inspected = inspectRow(example, null, changed);
      const { pairs: [pair] } = await loadPairs([example], null, changed);
      for (const { name, tokens } of inspected.sequences) {
        const { ids, promptLength } = pair[name as "chosen" | "rejected"];
        const kept = tokens.filter(({ cut }) => !cut);
        assert.deepEqual(kept.map(({ id }) => id), [...ids]);
        const scored = kept.flatMap((token, position) => token.scored ? [position] : []);
        const first = score === "all" ? 1 : promptLength;
        assert.deepEqual(scored, [...ids.keys()].slice(first));
        assert.ok(tokens.every((token) => !(token.cut && token.scored)));
      }
    }
  }
});

Deno.test("inspect: tokens beyond the model's vocabulary are refused, as training does", () => {
  const small = { ...options, vocabSize: 5 };
  assert.throws(
    () => inspectRow(tokens([1], [2, 5], [3]), null, small),
    /expected token ids from 0 to 4, found 5/,
  );
  assert.equal(inspectRow(tokens([1], [2, 4], [3]), null, small).dropped, null);
});

Deno.test("inspect: a row that prefers no answer, and what is odd about one", async () => {
  const tied = row({ instruction: "q", generations: ["a", "b"], ratings: [1, 1] });
  const { dropped, sequences } = inspectRow(tied, null, options);
  assert.deepEqual([dropped, sequences], ["droppedWithoutPreference", []]);
  const tokenizer = await byteTokenizer();
  const call = { role: "assistant", content: "", tool_calls: [{ function: { name: "f" } }] };
  const prompt = [{ role: "user", content: "q" }];
  const other = { role: "user", content: "r" };
  const { notes } = inspectRow(
    row({ prompt, chosen: [call], rejected: [other] }),
    tokenizer,
    options,
  );
  assert.deepEqual(notes, ["otherSpeakers", "lostInTemplate"]);
});

Deno.test("inspect: answers with labels, good and bad", async () => {
  const tokenizer = await byteTokenizer();
  for (const label of [true, false]) {
    const inspected = inspectRow(row({ prompt: "a", completion: "b", label }), tokenizer, options);
    assert.deepEqual([inspected.label, inspected.dropped], [label, null]);
    assert.deepEqual(inspected.sequences.map(({ name }) => name), ["completion"]);
  }
  // Another column of that name says nothing.
  assert.equal(inspectRow(row({ text: "ab", label: 2 }), tokenizer, options).label, undefined);
});
