import assert from "node:assert/strict";
import { FILTER_RULES } from "../../src/config/options.ts";
import { PairFilter } from "../../src/data/filter.ts";
import type { FilterLimits } from "../../src/data/filter_report.ts";
import { encodeExample } from "../../src/data/encode.ts";
import type { Encoder } from "../../src/data/encoder.ts";
import { type DataOptions, loadPairs } from "../../src/data/pairs.ts";
import { readRows } from "../../src/data/rows.ts";
import { UserError } from "../../src/errors.ts";
import { openDataset } from "../../src/platform/datasets.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer, type TextTokenizer } from "../../src/text/tokenizer.ts";
import { byteTokenizer, CHATML, END, IM_END, IM_START } from "../text/byte_tokenizer.ts";
import { GOLDEN } from "../e2e/golden.ts";
import { lackOfReference, REFERENCE, unless } from "../skip.ts";

const options: DataOptions = {
  maxLengthTokens: 64,
  truncation: "keep_start",
  appendEos: false,
  score: "completion",
  vocabSize: 200,
};

const rows = (...values: Record<string, unknown>[]) =>
  values.map((value, i) => ({ where: `f.jsonl, line ${i + 1}`, value }));
const tokens = (prompt_ids: number[], chosen_ids: number[], rejected_ids: number[]) => ({
  prompt_ids,
  chosen_ids,
  rejected_ids,
});

Deno.test("pairs: token ids are used verbatim", async () => {
  const { pairs, counts, format } = await loadPairs(
    rows(tokens([1, 0], [0, 5], [7])),
    null,
    { ...options, appendEos: true },
  );
  assert.deepEqual(pairs, [{
    index: 0,
    chosen: { ids: Uint32Array.of(1, 0, 0, 5), promptLength: 2 },
    rejected: { ids: Uint32Array.of(1, 0, 7), promptLength: 2 },
  }]);
  assert.equal(format, "token ids");
  assert.equal(counts.kept, 1);
});

Deno.test("pairs: prompt and completion are encoded one by one, and end when asked to", async () => {
  const tokenizer = await byteTokenizer(["a b"]);
  const [ab] = tokenizer.encode("ab"), [a] = tokenizer.encode("a"), [b] = tokenizer.encode("b");
  const row = { prompt: "ba", chosen: "b", rejected: "ab<|endoftext|>" };
  const load = async (appendEos: boolean) =>
    (await loadPairs(rows(row), tokenizer, { ...options, appendEos })).pairs[0];
  const { chosen, rejected } = await load(false);
  assert.deepEqual([...chosen.ids], [b, a, b], "no token crosses the boundary");
  assert.equal(chosen.promptLength, 2);
  assert.deepEqual([...rejected.ids], [b, a, ab, END]);
  const ended = await load(true);
  assert.deepEqual([...ended.chosen.ids], [b, a, b, END]);
  assert.deepEqual([...ended.rejected.ids], [b, a, ab, END], "an end that is there is not doubled");
});

Deno.test("pairs: a tokenizer's beginning of text stands once, before the prompt", async () => {
  const tokenizer = await byteTokenizer([], {
    tokenizer_class: "LlamaTokenizer",
    add_bos_token: true,
  });
  const load = async (prompt: string) =>
    (await loadPairs(rows({ prompt, chosen: "b", rejected: "c" }), tokenizer, options)).pairs[0]
      .chosen;
  const [a] = tokenizer.encode("a"), [b] = tokenizer.encode("b");
  assert.deepEqual(await load("a"), { ids: Uint32Array.of(END, a, b), promptLength: 2 });
  assert.deepEqual(await load("<|endoftext|>a"), {
    ids: Uint32Array.of(END, a, b),
    promptLength: 2,
  });
  assert.deepEqual(await load(""), { ids: Uint32Array.of(END, b), promptLength: 1 });
});

Deno.test("pairs: messages go through the chat template, which writes the end itself", async () => {
  const tokenizer = await byteTokenizer();
  const { pairs, counts } = await loadPairs(
    rows({
      prompt: [{ role: "user", content: "q" }],
      chosen: [{ role: "assistant", content: "yes" }],
      rejected: [{ role: "assistant", content: "n" }],
    }),
    tokenizer,
    { ...options, appendEos: true },
  );
  const { ids, promptLength } = pairs[0].chosen;
  assert.equal(
    tokenizer.decode(ids.slice(0, promptLength)),
    "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n",
  );
  assert.equal(tokenizer.decode(ids.slice(promptLength)), "yes<|im_end|>\n");
  assert.equal(tokenizer.decode(pairs[0].rejected.ids.slice(promptLength)), "n<|im_end|>\n");
  assert.equal(counts.boundaryMerged, 0);
});

Deno.test("pairs: where a token crosses the boundary, the prompt ends before it, and that is counted", async () => {
  const chat_template =
    "{% for m in messages %}{{ m.role[0] + m.content }}{% endfor %}{% if add_generation_prompt %}a{% endif %}";
  const tokenizer = await byteTokenizer(["a x"], { chat_template });
  const pair = (answer: string) => ({
    prompt: [{ role: "user", content: "q" }],
    chosen: [{ role: "assistant", content: answer }],
    rejected: [{ role: "assistant", content: "z" }],
  });
  const joint: DataOptions = { ...options, tokenize: "joint" };
  const { pairs, counts } = await loadPairs(rows(pair("xy"), pair("y")), tokenizer, joint);
  assert.equal(
    tokenizer.decode(pairs[0].chosen.ids.slice(0, pairs[0].chosen.promptLength)),
    "uq",
  );
  assert.equal(tokenizer.decode(pairs[0].chosen.ids), "uqaxy");
  assert.equal(
    tokenizer.decode(pairs[0].rejected.ids.slice(0, pairs[0].rejected.promptLength)),
    "uqa",
  );
  assert.equal(counts.boundaryMerged, 1);
  // One by one, no token crosses: the prompt is what a model sees when it is asked.
  const apart = await loadPairs(rows(pair("xy"), pair("y")), tokenizer, options);
  assert.equal(apart.counts.boundaryMerged, 0);
  for (const { ids, promptLength } of apart.pairs.flatMap((p) => [p.chosen, p.rejected])) {
    assert.equal(tokenizer.decode(ids.slice(0, promptLength)), "uqa");
  }
});

Deno.test("pairs: text as one, by the common prefix of tokens or by TRL's count of them", async () => {
  const tokenizer = await byteTokenizer(["a b", "b c"], {
    tokenizer_class: "LlamaTokenizer",
    add_bos_token: true,
  });
  const row = rows({ prompt: "xa", chosen: "bc", rejected: "c" });
  const load = async (changes: Partial<DataOptions>) => {
    const { pairs: [{ chosen, rejected }], counts } = await loadPairs(row, tokenizer, {
      ...options,
      ...changes,
    });
    const shown = [chosen, rejected].map(({ ids, promptLength }) =>
      [ids.slice(0, promptLength), ids.slice(promptLength)].map((part) => tokenizer.decode(part))
    );
    return { shown, merged: counts.boundaryMerged };
  };
  const end = "<|endoftext|>";
  assert.deepEqual(await load({ tokenize: "joint", appendEos: true }), {
    shown: [[`${end}x`, `abc${end}`], [`${end}xa`, `c${end}`]],
    merged: 1,
  });
  // TRL, since 1.14, divides both after the tokens that prompt and both wholes share.
  assert.deepEqual(await load({ tokenize: "joint", promptBoundary: "trl" }), {
    shown: [[`${end}x`, "abc"], [`${end}x`, "ac"]],
    merged: 1,
  });
  assert.deepEqual(await load({ tokenize: "separate" }), {
    shown: [[`${end}xa`, "bc"], [`${end}xa`, "c"]],
    merged: 0,
  });
});

Deno.test("pairs: a template that writes the prompt anew each time is divided by tokens", async () => {
  const chat_template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}";
  const tokenizer = await byteTokenizer([], { chat_template });
  const { pairs, counts } = await loadPairs(
    rows({
      prompt: [{ role: "user", content: "q" }],
      chosen: [{ role: "assistant", content: "a" }],
      rejected: [{ role: "assistant", content: "b" }],
    }),
    tokenizer,
    options,
  );
  assert.equal(tokenizer.decode(pairs[0].chosen.ids), "2qa");
  assert.equal(counts.boundaryMerged, 1);
});

Deno.test("pairs: what a chat template writes at the beginning and behind an answer is told", async () => {
  const told = async (chat_template: string, changes: Partial<DataOptions> = {}) => {
    const tokenizer = await byteTokenizer([], { chat_template });
    const messages = rows({
      prompt: [{ role: "user", content: "q" }],
      chosen: [{ role: "assistant", content: "c" }],
      rejected: [{ role: "assistant", content: "r" }],
    });
    const { encoding, counts } = await loadPairs(messages, tokenizer, { ...options, ...changes });
    return { told: encoding.split(";")[0], openingDropped: counts.openingDropped };
  };
  const turns = (end: string) => `{% for m in messages %}{{ m.content }}${end}{% endfor %}`;
  assert.deepEqual(await told("{{ bos_token }}" + turns("<|endoftext|>")), {
    told:
      "the chat template writes <|endoftext|> at the beginning and <|endoftext|> behind an answer",
    openingDropped: 0,
  });
  const ended = turns("<|im_end|>");
  assert.match(
    (await told(ended)).told,
    /no begin token and <\|im_end\|> .*, which does not stop this/,
  );
  assert.match((await told(ended, { stopIds: [2] })).told, /and <\|im_end\|> behind an answer$/);
  assert.match((await told(turns("\n"))).told, /no end token, so that nothing teaches .* to stop/);
  const choosy = "{% if messages[0].content == 'a' %}{{ raise_exception('no') }}{% endif %}";
  assert.match((await told(choosy + ended)).told, /takes no conversation .* is not known$/);
  const thinking = `${ended}{% if add_generation_prompt %}<think>{% endif %}`;
  assert.equal((await told(thinking)).openingDropped, 1);
});

Deno.test("pairs: the rules of begin, end and boundary are told", async () => {
  const tokenizer = await byteTokenizer([], {
    tokenizer_class: "LlamaTokenizer",
    add_bos_token: true,
  });
  const text = rows({ prompt: "p", chosen: "c", rejected: "r" });
  const told = async (
    source: typeof text,
    tokenizer: TextTokenizer | null,
    changes: Partial<DataOptions> = {},
  ) => (await loadPairs(source, tokenizer, { ...options, ...changes })).encoding;
  assert.equal(
    await told(text, tokenizer, { appendEos: true }),
    "begin <|endoftext|> once, end <|endoftext|> once; prompt and completion encoded one by one",
  );
  assert.equal(
    await told(text, await byteTokenizer(), { tokenize: "joint" }),
    "no begin token, no end token; prompt and completion encoded as one text",
  );
  assert.equal(
    await told(rows(tokens([1], [2], [3])), null),
    "token ids as they are, nothing added",
  );
});

Deno.test("pairs: too many rows beyond the length are refused, with what it would cost", async () => {
  const values = rows(
    tokens([1], [2, 3, 4, 5], [6]),
    tokens([1, 2, 3, 4], [2], [3]),
    tokens([1], [2], [3]),
    tokens([1], [2], [3]),
  );
  const load = (maxTruncatedShare?: number) =>
    loadPairs(values, null, { ...options, maxLengthTokens: 4, maxTruncatedShare });
  assert.equal((await load(0.5)).counts.kept, 3);
  assert.equal((await load()).counts.kept, 3);
  await assert.rejects(load(0.25), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /at most 25 % of its rows longer than 4 tokens, found 2 of 4/);
    assert.match(
      error.message,
      /1 would lose 1 tokens and 1 be dropped; .*--max-truncated-share 0.5$/,
    );
    return true;
  });
});

Deno.test("pairs: everything dropped or cut is counted, and the index goes on", async () => {
  const { pairs, counts } = await loadPairs(
    rows(
      tokens([1, 2], [3], []),
      tokens([1, 2, 3, 4], [3], [4]),
      tokens([1, 2], [3, 4, 5], [3, 4, 6]),
      tokens([1, 2], [3, 4], [5]),
    ),
    null,
    { ...options, maxLengthTokens: 4 },
  );
  assert.deepEqual(pairs.map(({ index }) => index), [2, 3]);
  assert.deepEqual(counts, {
    rows: 4,
    examples: 4,
    kept: 2,
    ties: 0,
    withMargin: 0,
    withWeight: 0,
    droppedPromptTooLong: 1,
    droppedTooLong: 0,
    filtered: 0,
    droppedEmptyCompletion: 1,
    droppedWithoutPreference: 0,
    truncatedRows: 1,
    truncatedTokens: 2,
    boundaryMerged: 0,
    severalAnswers: 0,
    repeatedPrompts: 0,
    echoedPrompts: 0,
    otherSpeakers: 0,
    turnsLeftOut: 0,
    lostInTemplate: 0,
    openingDropped: 0,
    identicalPairs: 1,
  });
  const { counts: dropping } = await loadPairs(
    rows(tokens([1], [3, 4, 5, 6], [4]), tokens([1], [2], [3])),
    null,
    { ...options, maxLengthTokens: 4, truncation: "drop" },
  );
  assert.equal(dropping.droppedTooLong, 1);
  assert.equal(dropping.kept, 1);
});

Deno.test("pairs: where prompts count too, rows with nothing but a prompt stay", async () => {
  const values = rows(tokens([1, 2, 3, 4], [3], [4]), tokens([1, 2], [], []), tokens([1], [], [2]));
  const { pairs, counts } = await loadPairs(values, null, {
    ...options,
    maxLengthTokens: 4,
    score: "all",
  });
  assert.deepEqual(pairs.map(({ index }) => index), [0, 1]);
  assert.equal(pairs[0].chosen.promptLength, 4);
  assert.equal(counts.droppedEmptyCompletion, 1, "one token alone is predicted by nothing");
});

Deno.test("pairs: a completion of blanks says nothing, with or without an end token", async () => {
  const tokenizer = await byteTokenizer();
  const values = rows(
    { prompt: "p", chosen: "c", rejected: "  \n" },
    { prompt: "p", chosen: "", rejected: "r" },
    { prompt: "p", chosen: "c", rejected: "r" },
  );
  const { counts } = await loadPairs(values, tokenizer, { ...options, appendEos: true });
  assert.equal(counts.droppedEmptyCompletion, 2);
  assert.equal(counts.kept, 1);
});

Deno.test("pairs: the hash covers kept tokens and boundaries, nothing else", async () => {
  const hash = async (...values: Record<string, unknown>[]) =>
    (await loadPairs(rows(...values), null, options)).hash;
  const base = await hash(tokens([1, 2], [3], [4]));
  assert.match(base, /^[0-9a-f]{64}$/);
  assert.equal(await hash({ ...tokens([1, 2], [3], [4]), note: "x" }), base);
  assert.equal(await hash(tokens([9], [], [9]), tokens([1, 2], [3], [4])), base, "a dropped row");
  const others = [
    await hash(tokens([1, 2], [4], [3])),
    await hash(tokens([1], [2, 3], [2, 4])),
    await hash(tokens([1, 2], [3], [5])),
    await hash(tokens([1, 2], [3], [4]), tokens([1, 2], [3], [4])),
  ];
  assert.equal(new Set([base, ...others]).size, 5);
});

Deno.test("pairs: what the filter rejects is left out, and reading ends when there are enough", async () => {
  const tokenizer = await byteTokenizer();
  const limits = Object.fromEntries(FILTER_RULES.map((rule) => [rule, "off"])) as FilterLimits;
  const filter = new PairFilter({ ...limits, minChars: 3 }, { tokens: "refuse" });
  const text = (chosen: string) => ({ prompt: "Q:", chosen, rejected: "long" });
  const values = rows(text("no"), text("yes"), text(""), text("also"), text("later"));
  const { pairs, counts } = await loadPairs(values, tokenizer, { ...options, filter, maxRows: 2 });
  assert.deepEqual(pairs.map(({ index }) => index), [1, 3]);
  assert.deepEqual([counts.rows, counts.kept, counts.filtered], [4, 2, 2]);
  assert.deepEqual([filter.report().pairs, filter.report().rejected.minChars], [4, 2]);
  await assert.rejects(
    loadPairs(rows(text("no")), tokenizer, { ...options, filter }),
    /found 1 rows, of which 1 are rejected by the filter, 0 have an empty completion/,
  );
});

Deno.test("pairs: bad rows are the user's to mend", async () => {
  const tokenizer = await byteTokenizer([], { eos_token: null, chat_template: null });
  const messages = {
    prompt: [{ role: "user", content: "q" }],
    chosen: [{ role: "assistant", content: "a" }],
    rejected: [{ role: "assistant", content: "b" }],
  };
  const text = { prompt: "p", chosen: "c", rejected: "r" };
  const rejects = async (
    values: Record<string, unknown>[],
    message: RegExp,
    changes: Partial<DataOptions> = {},
  ) =>
    await assert.rejects(
      loadPairs(rows(...values), tokenizer, { ...options, ...changes }),
      (error) => {
        assert.ok(error instanceof UserError, `${error}`);
        assert.match(error.message, message);
        return true;
      },
    );
  await rejects(
    [text, tokens([1], [2], [3])],
    /line 2: expected rows of one shape \(text with prompt/,
  );
  await rejects([tokens([1], [2], [200])], /line 1: expected token ids from 0 to 199, found 200/);
  await rejects([tokens([1], [2 ** 40], [2])], /token ids/);
  await rejects([messages], /expected a chat template/);
  await rejects([text], /expected the tokenizer to name an eos_token/, { appendEos: true });
  await rejects([], /at least one row/);
  await rejects([tokens([1], [], [2])], /found 1 rows, of which 1 have an empty completion/);
  await assert.rejects(loadPairs(rows(text), null, options), /expected a tokenizer.json/);
});

Deno.test("pairs: golden texts give the golden tokens", async (test) => {
  const files = [
    ["text-seed", "text", "pairs"],
    ["tiny-dialogue", "text", "pairs"],
    ["tiny-dialogue", "eval-text", "eval"],
  ];
  for (const [name, text, ids] of files) {
    await test.step(`${name}/${text}`, async () => {
      const path = `${GOLDEN}/${name}`;
      const { max_length } = JSON.parse(await Deno.readTextFile(`${path}/case.json`));
      const { pairs } = await loadPairs(
        readRows(await openDataset(`${path}/${text}.jsonl`)),
        await loadTokenizer(await openDirectory(`${path}/model`)),
        { ...options, maxLengthTokens: max_length, score: "all", vocabSize: 768 },
      );
      const expected = (await Deno.readTextFile(`${path}/${ids}.jsonl`)).trimEnd().split("\n");
      assert.equal(pairs.length, expected.length);
      for (const [i, { index, chosen, rejected }] of pairs.entries()) {
        const golden = JSON.parse(expected[i]);
        assert.equal(index, i);
        assert.deepEqual([...chosen.ids], golden.chosen);
        assert.deepEqual([...rejected.ids], golden.rejected);
        assert.equal(chosen.promptLength, golden.chosen_prompt_length);
        assert.equal(rejected.promptLength, golden.rejected_prompt_length);
      }
    });
  }
});

Deno.test({
  ...unless(lackOfReference, "pairs: HH-RLHF as it comes"),
  fn: async () => {
    const tokenizer = await loadTokenizer(await openDirectory(`${REFERENCE}tokenizer`));
    const { pairs, counts } = await loadPairs(
      readRows(await openDataset(`${REFERENCE}data/hh-harmless-train.jsonl.gz`)),
      tokenizer,
      { ...options, maxLengthTokens: 512, appendEos: true, vocabSize: 49152 },
    );
    assert.equal(counts.rows, 1200);
    assert.equal(counts.droppedEmptyCompletion, 2);
    assert.equal(counts.kept + counts.droppedEmptyCompletion + counts.droppedPromptTooLong, 1200);
    for (const { chosen, rejected } of pairs) {
      const length = chosen.promptLength;
      assert.equal(rejected.promptLength, length);
      assert.deepEqual(chosen.ids.slice(0, length), rejected.ids.slice(0, length));
      assert.ok(tokenizer!.decode(chosen.ids.slice(0, length)).endsWith("\n\nAssistant:"));
    }
    assert.ok(
      !pairs.some(({ chosen }) => chosen.ids.includes(IM_START) || chosen.ids.includes(IM_END)),
    );
  },
});

Deno.test("pairs: rows encoded ahead, in portions, give what rows encoded one by one give", async () => {
  const tokenizer = await byteTokenizer(["a b"]);
  const values = rows(
    ...Array.from({ length: 600 }, (_, i) => ({
      prompt: i % 97 === 5 ? "long ".repeat(20) : `prompt ${i}`,
      chosen: i % 89 === 7 ? "" : "ab".repeat(i % 40),
      rejected: `no ${i}`,
    })),
  );
  const expected = await loadPairs(values, tokenizer, options);
  assert.ok(expected.counts.droppedEmptyCompletion > 0 && expected.counts.droppedPromptTooLong > 0);
  const encoder: Encoder = {
    portionsAhead: 3,
    encode: (examples) =>
      Promise.resolve(examples.map((example) => encodeExample(example, tokenizer, options))),
  };
  assert.deepEqual(await loadPairs(values, tokenizer, { ...options, encoder }), expected);

  // Rows beyond the last that is wanted are not counted.
  const few = { ...options, maxRows: 10 };
  assert.deepEqual(
    await loadPairs(values, tokenizer, { ...few, encoder }),
    await loadPairs(values, tokenizer, few),
  );
});

Deno.test("pairs: what a template leaves out of messages is counted", async () => {
  const call = { type: "function", function: { name: "f", arguments: {} } };
  const prompt = [{ role: "user", content: "q" }];
  const assistant = (content: string, others = {}) => ({ role: "assistant", content, ...others });
  const pair = { prompt, chosen: [assistant("c")], rejected: [assistant("r")] };
  const lostOf = async (template: string, value: Record<string, unknown>) => {
    const tokenizer = await byteTokenizer([], { chat_template: template });
    const { counts, format } = await loadPairs(rows(pair, value), tokenizer, options);
    return { lost: counts.lostInTemplate, kept: counts.kept, format };
  };
  const cases: [Record<string, unknown>, number][] = [
    [pair, 0],
    [{ ...pair, chosen: [assistant("c", { reasoning_content: "why" })] }, 1],
    [{ ...pair, chosen: [assistant("c", { tool_calls: [call] })] }, 1],
    [{ ...pair, chosen: [assistant("", { tool_calls: [call] })] }, 1],
    [{ ...pair, chosen: [assistant("c", { weight: 1, tool_calls: [] })] }, 0],
    [{ ...pair, tools: [call] }, 1],
  ];
  for (const [value, lost] of cases) {
    assert.equal((await lostOf(CHATML, value)).lost, lost, JSON.stringify(value));
    const { format } = await lostOf(CHATML, value);
    assert.equal(format, `messages with prompt${value.tools ? ", with tools" : ""}`);
  }
  const whole = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}" +
    "{{ m.role + ':' + m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}" +
    "{{ m.reasoning_content }};{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
  for (const [value] of cases) {
    assert.deepEqual((await lostOf(whole, value)).lost, 0, JSON.stringify(value));
  }
  // A template may drop a role, or write what is said in other characters.
  const system = { ...pair, prompt: [{ role: "system", content: 's "t"' }, ...prompt] };
  const deaf =
    "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %};{% endfor %}";
  assert.equal((await lostOf(deaf, system)).lost, 1);
  const json = "{% for m in messages %}{{ m.content | tojson }};{% endfor %}";
  assert.equal((await lostOf(json, system)).lost, 0);
});

Deno.test("pairs: rows without a preference are dropped and counted, odd ones noted", async () => {
  const rated = (ratings: number[]) => ({ prompt: "q", generations: ["a", "b", "c"], ratings });
  const { pairs, counts, format, translated } = await loadPairs(
    rows(rated([1, 1, 1]), rated([1, 2, 3]), rated([5, 2, 2])),
    await byteTokenizer(),
    options,
  );
  assert.deepEqual(pairs.map(({ index }) => index), [1, 2]);
  assert.equal(counts.droppedWithoutPreference, 1);
  assert.equal(counts.severalAnswers, 2);
  assert.equal(format, 'answers in "generations" with ratings, best against worst');
  assert.equal(translated, true);
  await assert.rejects(
    loadPairs(rows(rated([1, 1, 1])), await byteTokenizer(), options),
    /1 prefer no answer/,
  );
});

Deno.test("pairs: all pairs of a ranked row are the row's, each counted", async () => {
  const rated = (...ratings: number[]) => ({ prompt: "q", generations: ["a", "b", "c"], ratings });
  const load = async (rankedPairs: DataOptions["rankedPairs"], maxRows?: number) =>
    await loadPairs(rows(rated(1, 3, 2), rated(2, 2, 2), rated(5, 5, 4)), await byteTokenizer(), {
      ...options,
      rankedPairs,
      maxRows,
    });
  const all = await load("best-all");
  assert.deepEqual(all.pairs.map(({ index }) => index), [0, 0, 2]);
  const { rows: read, examples, kept, ties, droppedWithoutPreference } = all.counts;
  assert.deepEqual(
    { read, examples, kept, ties, droppedWithoutPreference },
    { read: 3, examples: 3, kept: 3, ties: 3, droppedWithoutPreference: 1 },
  );
  const adjacent = await load("adjacent");
  assert.deepEqual(adjacent.pairs.map(({ index }) => index), [0, 0, 2]);
  assert.equal(adjacent.counts.ties, 3);
  assert.notEqual(adjacent.hash, all.hash);
  assert.equal((await load("best-worst")).pairs.length, 2);
  assert.equal((await load("best-all", 1)).pairs.length, 1);
});
