/** What must hold for any row, under any options. */
import assert from "node:assert/strict";
import fc from "fast-check"; // generates rows, and shrinks those that break a rule
import { parsePair } from "../../src/data/pair_rows.ts";
import { parseSequence } from "../../src/data/text_rows.ts";
import { inspectRow } from "../../src/data/inspect.ts";
import { type DataOptions, loadPairs } from "../../src/data/pairs.ts";
import { type DatasetRow, readRows } from "../../src/data/rows.ts";
import { packPairs } from "../../src/dpo/pack.ts";
import { UserError } from "../../src/errors.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { byteTokenizer } from "../text/byte_tokenizer.ts";

// The same rows in every run.
fc.configureGlobal({ seed: 3 });

const tokenizer = await byteTokenizer(["a b", "b c", "Ġ a", "Ċ Ċ", "a a"], {
  tokenizer_class: "LlamaTokenizer",
  add_bos_token: true,
});
const row = (value: Record<string, unknown>): DatasetRow => ({ where: "f, line 1", value });

/** Letters of the tokenizer's alphabet, with blanks, digits and special tokens in between. */
const text = fc.array(
  fc.constantFrom("a", "b", "c", " ", "\n", "7", "ab", "<|endoftext|>", "\n\nAssistant:"),
  { maxLength: 12 },
).map((parts) => parts.join(""));
const ids = fc.array(fc.integer({ min: 0, max: 90 }), { maxLength: 12 });
const answer = text.map((content) => [{ role: "assistant", content }]);
const question = text.map((content) => [{ role: "user", content }]);
const dialogue = fc.tuple(text, text, text).map(([prompt, chosen, rejected]) => ({
  chosen: `\n\nHuman: ${prompt}\n\nAssistant:${chosen}`,
  rejected: `\n\nHuman: ${prompt}\n\nAssistant:${rejected}`,
}));
const anyPair = fc.oneof(
  fc.record({ prompt: text, chosen: text, rejected: text }),
  fc.record({ prompt: question, chosen: answer, rejected: answer }),
  fc.record({ system: text, question: text, chosen: text, rejected: text }),
  fc.record({ prompt_ids: ids, chosen_ids: ids, rejected_ids: ids }),
  dialogue,
);
const anyOptions: fc.Arbitrary<DataOptions> = fc.record({
  maxLengthTokens: fc.integer({ min: 2, max: 24 }),
  truncation: fc.constantFrom("keep_start", "keep_end", "prompt_first", "proportional", "drop"),
  appendEos: fc.boolean(),
  score: fc.constantFrom("completion", "all"),
  tokenize: fc.constantFrom("separate", "joint"),
  promptBoundary: fc.constantFrom("turns", "trl"),
  vocabSize: fc.constant(200),
});

Deno.test("any row: each token is scored, prompt, or counted as cut; no mask covers a prompt", async () => {
  let kept = 0, cutRows = 0;
  await fc.assert(
    fc.asyncProperty(anyPair, anyOptions, async (value, options) => {
      const example = row(value);
      const inspected = inspectRow(example, tokenizer, options);
      if (inspected.dropped !== null) {
        return await assert.rejects(loadPairs([example], tokenizer, options), /tokens that count/);
      }
      const { pairs: [pair], counts } = await loadPairs([example], tokenizer, options);
      kept++;
      const tokens = inspected.sequences.flatMap(({ tokens }) => tokens);
      const cut = tokens.filter((token) => token.cut).length;
      if (cut > 0) cutRows++;
      assert.equal(cut, counts.truncatedTokens);
      // Where the whole prompt is cut, the first token left is a completion's, but nothing is there to predict it.
      const first = inspected.sequences.map(({ tokens }) => tokens.find((token) => !token.cut));
      for (const token of tokens) {
        const isContext = token.part === "prompt" || first.includes(token);
        assert.ok(token.cut || token.scored || isContext, JSON.stringify(token));
        assert.ok(!(token.cut && token.scored));
        assert.ok(options.score === "all" || !(token.part === "prompt" && token.scored));
      }
      // The packed batch holds exactly these tokens and no filling, and scores exactly these.
      const packing = { scope: options.score, reduction: "sum", chunkRows: 64 } as const;
      const { scored, tokens: packed } = packPairs([pair], { ...packing, sharePrefix: false });
      assert.equal(packed.length, tokens.length - cut);
      const targets = Array.from({ length: scored.length / 4 }, (_, i) => scored[4 * i + 1]);
      assert.deepEqual(targets, tokens.filter((token) => token.scored).map(({ id }) => id));
    }),
    { numRuns: 1000 },
  );
  assert.ok(kept > 200 && cutRows > 50, `only ${kept} rows were kept and ${cutRows} cut`);
});

Deno.test("any row: nothing but a complaint that names it, whatever its values are", () => {
  const role = fc.constantFrom(
    "prompt",
    "chosen",
    "rejected",
    "system",
    "question",
    "text",
    "messages",
  );
  const names = fc.oneof(
    role,
    fc.constantFrom("prompt_ids", "chosen_ids", "input_ids", "completion"),
  );
  const value = fc.oneof(text, question, answer, ids, fc.jsonValue());
  // The keys of tools' exports, with values that are like theirs or like nothing
  const odd = fc.oneof(fc.jsonValue(), answer, fc.constant(null));
  const exported = fc.oneof(
    fc.record({
      generations: fc.oneof(fc.array(fc.oneof(text, odd)), odd),
      ratings: fc.oneof(fc.array(fc.oneof(fc.double(), odd)), odd),
      instruction: value,
    }),
    fc.record({ answers: fc.array(fc.record({ answer: odd, rank: odd })), prompt: value }),
    fc.record({ messages: value, rejected_response: odd, tools: odd }),
    fc.record({
      data: fc.record({ prompt: value, a: text, b: odd }),
      annotations: fc.array(
        fc.record({
          result: fc.oneof(
            odd,
            fc.array(fc.record({
              type: fc.constant("pairwise"),
              to_name: fc.constantFrom("a,b", "a", "x,y"),
              value: fc.oneof(odd, fc.record({ selected: fc.constantFrom("left", "b", "?") })),
            })),
          ),
          was_cancelled: fc.boolean(),
        }),
      ),
    }),
    fc.record({
      "x-0": text,
      "x-1": fc.oneof(text, odd),
      "x-0-rating.responses": fc.oneof(odd, fc.array(odd)),
      "q.suggestion": fc.oneof(odd, fc.constantFrom("x-0", "x-1")),
      fields: odd,
    }),
    fc.record({
      data: fc.record({ rating: fc.constantFrom(1, -1, null) }),
      meta: fc.record({ message_id: fc.constantFrom("a", "b", "c") }),
      snapshot: fc.record({
        chat: fc.record({
          history: fc.record({
            messages: fc.dictionary(
              fc.constantFrom("a", "b", "c"),
              fc.record({
                role: fc.constantFrom("user", "assistant", 1),
                parentId: fc.constantFrom("a", "b", "c", null),
                content: fc.oneof(text, odd),
              }),
            ),
          }),
        }),
      }),
    }),
    fc.record({ response_0: value, response_1: value, better_response_id: odd, prompt: value }),
  );
  fc.assert(
    fc.property(
      fc.oneof(fc.dictionary(names, value), exported),
      fc.constantFrom("turns", "trl"),
      (value, promptBoundary) => {
        for (
          const parse of [(row: DatasetRow) => parsePair(row, { promptBoundary }), parseSequence]
        ) {
          try {
            parse(row(value));
          } catch (error) {
            assert.ok(error instanceof UserError, `${error}`);
            assert.match(error.message, /^Cannot use f, line 1: expected /);
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("any file: rows or a complaint that names it, and it is closed", async () => {
  const name = fc.constantFrom(
    ...["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json", "a.parquet", "a.csv", "A.NDJSON"],
  );
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
    fc.string().map((text) => new TextEncoder().encode(`PAR1${text}PAR1`)),
  );
  await fc.assert(
    fc.asyncProperty(name, bytes, async (name, bytes) => {
      const directory = new MemoryDirectory({ [name]: Uint8Array.from(bytes) });
      try {
        for await (const { value } of readRows([{ files: [{ directory, name }], slice: null }])) {
          assert.equal(typeof value, "object");
        }
      } catch (error) {
        assert.ok(error instanceof UserError, `${error}`);
        assert.match(error.message, /memory\/a\./i);
      }
      assert.equal(directory.openFiles, 0);
    }),
    { numRuns: 1000 },
  );
});
