import assert from "node:assert/strict";
import { parseAnswer } from "../../src/data/answer_rows.ts";
import { loadAnswers } from "../../src/data/answers.ts";
import { auditPairs } from "../../src/data/audit.ts";
import { parsePair } from "../../src/data/pair_rows.ts";
import { type DataOptions, loadPairs } from "../../src/data/pairs.ts";
import { PairFilter } from "../../src/data/filter.ts";
import { FILTER_RULES } from "../../src/config/options.ts";
import type { FilterLimits } from "../../src/data/filter_report.ts";
import { countsInWords } from "../../src/report/words.ts";
import { UserError } from "../../src/errors.ts";
import { byteTokenizer } from "../text/byte_tokenizer.ts";

const row = (value: Record<string, unknown>, i = 3) => ({ where: `f.jsonl, line ${i}`, value });
const OFF = Object.fromEntries(FILTER_RULES.map((rule) => [rule, "off"])) as FilterLimits;
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

Deno.test("answers: texts, messages and token ids with a label", () => {
  const parse = (value: Record<string, unknown>) => parseAnswer(row(value));
  const text = parse({ prompt: "q", completion: "a", label: true });
  assert.deepEqual(text, {
    format: "text with prompt, each answer with a label",
    example: { kind: "text", prompt: "q", completions: ["a"] },
    columns: ["prompt", "completion", "label"],
    terms: { label: true },
  });
  const messages = parse({ prompt: [user("q")], completion: [assistant("a")], label: 0 });
  assert.deepEqual(messages.example, {
    kind: "messages",
    prompt: [user("q")],
    completions: [[assistant("a")]],
  });
  assert.deepEqual(messages.terms, { label: false });
  for (const [label, expected] of [["True", true], ["0", false], [1, true], [false, false]]) {
    const { terms } = parse({ messages: [user("q"), assistant("a")], label });
    assert.equal(terms?.label, expected);
  }
  assert.deepEqual(parse({ prompt: "q", chosen: "c", rejected: "r" }), {
    ...parsePair(row({ prompt: "q", chosen: "c", rejected: "r" })),
  });
});

Deno.test("answers: a lone thumb of Open WebUI", () => {
  const feedback = (rating: unknown) => ({
    data: { rating },
    meta: { message_id: "a" },
    snapshot: {
      chat: {
        chat: {
          history: {
            messages: {
              q: { role: "user", content: "q", parentId: null },
              a: { role: "assistant", content: "a", parentId: "q" },
            },
          },
        },
      },
    },
  });
  const { example, terms, translated } = parseAnswer(row(feedback(-1)));
  assert.deepEqual(example, {
    kind: "messages",
    prompt: [user("q")],
    completions: [[assistant("a")]],
  });
  assert.deepEqual([terms, translated], [{ label: false }, true]);
  assert.equal(parseAnswer(row(feedback(null))).example, null);
  assert.equal(parsePair(row(feedback(-1))).example, null);
});

Deno.test("answers: labels that are missing or none, and answers where pairs are expected", () => {
  const refused = (parse: () => unknown, message: RegExp) =>
    assert.throws(parse, (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  refused(
    () => parseAnswer(row({ prompt: "q", completion: "a" })),
    /line 3: expected "label" \(true or false\) beside a single answer, .*, found prompt, completion/,
  );
  refused(
    () => parseAnswer(row({ prompt: "q", completion: "a", label: 0.5 })),
    /"label" to be true or false, found 0.5/,
  );
  refused(
    () => parsePair(row({ prompt: "q", completion: "a", label: true })),
    /line 3: expected "chosen" and "rejected", found an answer with a "label": .*--loss-type kto/,
  );
});

const options = {
  maxLengthTokens: 5,
  truncation: "keep_start",
  appendEos: false,
  score: "completion",
  vocabSize: 400,
  answers: "mismatched",
  terms: { margin: null, weight: null },
} satisfies DataOptions;

/** Rows of token ids: of answer i prompt 10 + i, and so many ids 100 + i. */
const labeled = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    row({
      input_ids: [10 + i, ...new Array(1 + i % 3).fill(100 + i)],
      prompt_length: 1,
      label: i % 2 === 0,
      ...i === 1 ? { weight: 2 } : {},
    }, i));

Deno.test("answers: each prompt gets another answer of those that are trained together", async () => {
  const load = async (count: number, together: number | null) => {
    const { pairs } = await loadAnswers(labeled(count), null, options, { together });
    return pairs.map(({ rejected }) => [...rejected.ids]);
  };
  // As TRL: shifted by one, the last one's first. What has no neighbor keeps its own.
  assert.deepEqual(await load(7, 3), [
    [10, 102, 102, 102],
    [11, 100],
    [12, 101, 101],
    [13, 105, 105, 105],
    [14, 103],
    [15, 104, 104],
    [16, 106],
  ]);
  assert.deepEqual(await load(3, null), [[10], [11], [12]]);
  const { pairs, counts } = await loadAnswers(
    labeled(3),
    null,
    { ...options, maxLengthTokens: 3 },
    { together: 2 },
  );
  assert.deepEqual(pairs.map(({ label, weight }) => [label, weight]), [
    [true, undefined],
    [false, 2],
    [true, undefined],
  ]);
  // Cut to the maximum length, as the row's own answer is.
  assert.deepEqual(pairs.map(({ chosen, rejected }) => [chosen.ids.length, rejected.ids.length]), [
    [2, 3],
    [3, 2],
    [3, 3],
  ]);
  assert.deepEqual([counts.kept, counts.truncatedRows, counts.withWeight], [3, 1, 1]);
});

Deno.test("answers: pairs are taken apart, and what is not alike is refused", async () => {
  const pair = (i: number) =>
    row({ prompt_ids: [i], chosen_ids: [100 + i], rejected_ids: [200 + i], weight: i + 1 }, i);
  const { pairs, counts } = await loadAnswers([pair(0), pair(1)], null, options, { together: 4 });
  assert.deepEqual(
    pairs.map(({ index, chosen, rejected, label, weight }) => [
      ...[index, label, weight],
      ...[[...chosen.ids], [...rejected.ids]],
    ]),
    [
      [0, true, 1, [0, 100], [0, 201]],
      [1, true, 2, [1, 101], [1, 100]],
      [0, false, 1, [0, 200], [0, 101]],
      [1, false, 2, [1, 201], [1, 200]],
    ],
  );
  assert.deepEqual([counts.rows, counts.examples, counts.kept], [2, 4, 4]);
  // All counts of what stays and goes are of answers.
  const long = row({ prompt_ids: [1, 2, 3, 4, 5], chosen_ids: [6], rejected_ids: [7] });
  const empty = row({ prompt_ids: [1], chosen_ids: [6], rejected_ids: [] });
  const cut = row({ prompt_ids: [1], chosen_ids: [6, 7, 8, 9, 10], rejected_ids: [6] });
  const some = await loadAnswers([pair(0), long, empty, cut], null, options, { together: 4 });
  assert.equal(
    countsInWords({ ...some.counts }, "answers"),
    "4 of 8 answers of 4 rows, 1 rows with a weight, 2 dropped (prompt fills the length), " +
      "2 dropped (empty completion), 1 pairs cut, 1 tokens cut, 2 pairs taken apart",
  );
  // The filter judges pairs, and both answers of one go or stay.
  const limits = { ...OFF, minChars: 4 };
  const texts = [1, 5].map((n) => row({ prompt: "q", chosen: "c".repeat(n), rejected: "rrrr" }));
  const strong = await loadAnswers(texts, await byteTokenizer(), {
    ...{ ...options, maxLengthTokens: 9, filter: new PairFilter(limits, { tokens: "refuse" }) },
  }, { together: null });
  assert.deepEqual(strong.pairs.map(({ index, label }) => [index, label]), [[1, true], [1, false]]);
  assert.deepEqual([strong.counts.examples, strong.counts.kept, strong.counts.filtered], [4, 2, 2]);
  const hashes = await Promise.all([2, 4, null].map(async (together) => {
    const { hash } = await loadAnswers([pair(0), pair(1)], null, options, { together });
    return hash;
  }));
  const { hash } = await loadPairs([pair(0), pair(1)], null, options);
  assert.equal(new Set([hash, ...hashes]).size, 4, "scores are kept by this hash");
  const mixed = [
    row({ prompt: "q", chosen: "a", rejected: "b" }),
    row({ prompt: "q", completion: "a", label: true }),
  ];
  await assert.rejects(
    loadAnswers(mixed, await byteTokenizer(), options, { together: 4 }),
    /expected rows of one shape \(text with prompt, as the first\), found .* each answer with a label/,
  );
});

Deno.test("answers: an audit knows them by their labels", async () => {
  const answer = (id: number, label: boolean) =>
    row({ input_ids: [1, id], prompt_length: 1, label });
  const rows = [answer(5, true), answer(6, false), answer(5, true), answer(6, true)];
  const { pairs, counts } = await loadAnswers(rows, null, options, { together: 2 });
  const audit = auditPairs(pairs, counts, pairs.slice(1, 2));
  assert.equal(audit.duplicates.count, 1);
  assert.equal(audit.contradictions.count, 1);
  assert.deepEqual([audit.identical.count, audit.longerWins, audit.good], [0, undefined, 3]);
  assert.equal(audit.leakedPairs?.count, 2);
  assert.equal(audit.leakedPrompts?.count, 2);
});
