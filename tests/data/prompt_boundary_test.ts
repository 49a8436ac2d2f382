import assert from "node:assert/strict";
import { parsePair } from "../../src/data/pair_rows.ts";
import {
  splitDialogue,
  splitMessagesLikeTrl,
  splitTextLikeTrl,
} from "../../src/data/prompt_boundary.ts";
import { readRows } from "../../src/data/rows.ts";
import { openDataset } from "../../src/platform/datasets.ts";
import { lackOfReference, REFERENCE, unless } from "../skip.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

// What TRL's extract_prompt gives, worked out by hand from its source.
Deno.test("boundary: as TRL has it, to the letter", () => {
  const cases: [chosen: string, rejected: string, prompt: string, answers: [string, string]][] = [
    // A space before the difference goes to the answers; so the same letter may.
    ["Q: yes", "Q: no", "Q:", [" yes", " no"]],
    ["Assistant: I do", "Assistant: I did not", "Assistant: I d", ["o", "id not"]],
    ["the sea", "the seat", "the se", ["a", "at"]],
    ["same", "same", "sam", ["e", "e"]],
    ["abc ", "xbc", "abc", [" ", "c"]],
    ["abc", "xbc", "", ["abc", "xbc"]],
    ["é😀 a", "é😀 b", "é😀", [" a", " b"]],
    ["", "x", "", ["", "x"]],
  ];
  for (const [chosen, rejected, prompt, completions] of cases) {
    assert.deepEqual(splitTextLikeTrl(chosen, rejected), { prompt, completions }, chosen);
  }
  const start = [user("q"), assistant("a")];
  assert.deepEqual(splitMessagesLikeTrl([user("q"), assistant("c")], [user("q"), assistant("r")]), {
    prompt: [user("q")],
    completions: [[assistant("c")], [assistant("r")]],
  });
  // Identical conversations lose their last turn to the answers too.
  assert.deepEqual(splitMessagesLikeTrl(start, start).prompt, [user("q")]);
});

Deno.test("boundary: rows are split as asked for", () => {
  const value = {
    chosen: "\n\nHuman: a\n\nAssistant: do",
    rejected: "\n\nHuman: a\n\nAssistant: dig",
  };
  const row = { where: "f, line 1", value };
  const turns = parsePair(row);
  const trl = parsePair(row, { promptBoundary: "trl" });
  assert.deepEqual(turns.example, {
    kind: "text",
    prompt: "\n\nHuman: a\n\nAssistant:",
    completions: [" do", " dig"],
  });
  assert.deepEqual(trl.example, {
    kind: "text",
    prompt: "\n\nHuman: a\n\nAssistant: d",
    completions: ["o", "ig"],
  });
  assert.match(trl.format, /first difference as in TRL/);
  // TRL takes the prompt from the conversations even where a column repeats it.
  const conversations = {
    prompt: "q",
    chosen: [user("q"), assistant("c")],
    rejected: [user("q"), assistant("r")],
  };
  const { example } = parsePair({ where: "", value: conversations }, { promptBoundary: "trl" });
  assert.deepEqual(example!.prompt, [user("q")]);
});

/** Whether a text is cut within a word. */
const isInsideWord = (before: string, after: string) =>
  /[\p{L}\p{N}]$/u.test(before) && /^[\p{L}\p{N}]/u.test(after);

Deno.test({
  ...unless(
    lackOfReference,
    "boundary: in HH-RLHF never inside a turn, where TRL cuts one row in five",
  ),
  fn: async () => {
    let rows = 0, insideWord = 0, insideTurn = 0, insideWordTrl = 0, insideTurnTrl = 0;
    for (const name of ["hh-harmless-train", "hh-harmless-eval"]) {
      for await (const row of readRows(await openDataset(`${REFERENCE}data/${name}.jsonl.gz`))) {
        const [chosen, rejected] = [row.value.chosen, row.value.rejected] as string[];
        rows++;
        const ours = splitDialogue(row, chosen, rejected);
        assert.equal(ours.prompt + ours.completions[0], chosen);
        assert.equal(ours.prompt + ours.completions[1], rejected);
        if (!ours.prompt.endsWith("\n\nAssistant:")) insideTurn++;
        if (ours.completions.some((answer) => isInsideWord(ours.prompt, answer))) insideWord++;
        const trl = splitTextLikeTrl(chosen, rejected);
        if (!/\n\n(Assistant|Human):$/.test(trl.prompt)) insideTurnTrl++;
        if (trl.completions.some((answer) => isInsideWord(trl.prompt, answer))) insideWordTrl++;
      }
    }
    assert.deepEqual({ rows, insideWord, insideTurn }, {
      rows: 1400,
      insideWord: 0,
      insideTurn: 0,
    });
    assert.deepEqual({ insideTurnTrl, insideWordTrl }, { insideTurnTrl: 287, insideWordTrl: 133 });
  },
});
