import assert from "node:assert/strict";
import type { NamedColumns } from "../../src/data/columns.ts";
import { parsePair, parseSequence } from "../../src/data/examples.ts";
import { UserError } from "../../src/errors.ts";

const row = (value: Record<string, unknown>) => ({ where: "f.jsonl, line 3", value });
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

Deno.test("pairs: text with prompt", () => {
  assert.deepEqual(parsePair(row({ prompt: "p", chosen: "c", rejected: "r", more: 1 })), {
    format: "text with prompt",
    example: { kind: "text", prompt: "p", completions: ["c", "r"] },
    columns: ["prompt", "chosen", "rejected"],
  });
});

Deno.test("pairs: HH-RLHF text is split after the last shared opening of an answer", () => {
  const split = (chosen: string, rejected: string) => parsePair(row({ chosen, rejected })).example;
  const start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:";
  assert.deepEqual(split(`${start} yes`, `${start} you`), {
    kind: "text",
    prompt: start,
    completions: [" yes", " you"],
  });
  // The conversations part at the last question already: its answers are no completions of one prompt.
  const first = "\n\nHuman: a\n\nAssistant:";
  assert.deepEqual(
    split(`${first} b\n\nHuman: c\n\nAssistant: d`, `${first} b\n\nHuman: e\n\nAssistant: f`),
    {
      kind: "text",
      prompt: first,
      completions: [" b\n\nHuman: c\n\nAssistant: d", " b\n\nHuman: e\n\nAssistant: f"],
    },
  );
  assert.deepEqual(split(start, `${start} x`), {
    kind: "text",
    prompt: start,
    completions: ["", " x"],
  });
  assert.deepEqual(split(start, start), { kind: "text", prompt: start, completions: ["", ""] });
});

Deno.test("pairs: message lists, with and without prompt", () => {
  const explicit = parsePair(
    row({ prompt: [user("q")], chosen: [assistant("c")], rejected: [assistant("r")] }),
  );
  const shared = parsePair(
    row({ chosen: [user("q"), assistant("c")], rejected: [user("q"), assistant("r")] }),
  );
  const repeated = parsePair(
    row({
      prompt: "q",
      chosen: [user("q"), assistant("c")],
      rejected: [user("q"), assistant("r")],
    }),
  );
  for (const { example } of [explicit, shared, repeated]) {
    assert.deepEqual(example, {
      kind: "messages",
      prompt: [user("q")],
      completions: [[assistant("c")], [assistant("r")]],
    });
  }
  assert.notEqual(explicit.format, shared.format);
});

Deno.test("pairs: shared turns end where both go on with an answer", () => {
  const split = (chosen: unknown[], rejected: unknown[]) =>
    parsePair(row({ chosen, rejected })).example;
  const start = [user("q"), assistant("a"), user("q2")];
  assert.deepEqual(split([...start, assistant("c")], [...start, assistant("r")]).prompt, start);
  assert.deepEqual(split([...start, assistant("c")], [...start, assistant("c")]).prompt, start);
  const parted = split(
    [user("q"), assistant("a"), user("x"), assistant("c")],
    [user("q"), assistant("a"), user("y"), assistant("r")],
  );
  assert.deepEqual(parted.prompt, [user("q")]);
  assert.equal(parted.completions[0].length, 3);
});

Deno.test("pairs: the columns of well-known datasets", () => {
  const parse = (value: Record<string, unknown>) => parsePair(row(value));
  const conversation = {
    kind: "messages",
    prompt: [user("q")],
    completions: [[assistant("c")], [assistant("r")]],
  };
  const withSystem = { ...conversation, prompt: [{ role: "system", content: "s" }, user("q")] };

  // Dahoas/full-hh-rlhf
  const hh = { prompt: "\n\nHuman: q\n\nAssistant:", chosen: " c", rejected: " r", response: " c" };
  assert.deepEqual(parse(hh), {
    format: "text with prompt",
    example: { kind: "text", prompt: hh.prompt, completions: [" c", " r"] },
    columns: ["prompt", "chosen", "rejected"],
  });
  // HuggingFaceH4/ultrafeedback_binarized
  const [chosen, rejected] = [[user("q"), assistant("c")], [user("q"), assistant("r")]];
  const binarized = { prompt: "q", prompt_id: "x", chosen, rejected, messages: chosen };
  const scored = { ...binarized, score_chosen: 8.5, score_rejected: 7 };
  assert.deepEqual(parse(scored), {
    format: "messages, shared turns as prompt",
    example: conversation,
    columns: ["prompt", "chosen", "rejected"],
  });
  // Intel/orca_dpo_pairs; argilla/distilabel-intel-orca-dpo-pairs has "input" for "question"
  for (const name of ["question", "input"]) {
    assert.deepEqual(parse({ system: "s", [name]: "q", chosen: "c", rejected: "r" }), {
      format: `text as turns of a conversation (prompt in "${name}", chosen in "chosen", ` +
        `rejected in "rejected", system in "system")`,
      example: withSystem,
      columns: [name, "chosen", "rejected", "system"],
    });
  }
  const unprompted = parse({ system: "", question: "q", chosen: "c", rejected: "r" });
  assert.deepEqual(unprompted.example, conversation);
  // argilla/ultrafeedback-binarized-preferences
  const renamed = parse({ instruction: "q", chosen_response: "c", rejected_response: "r" });
  assert.deepEqual(renamed.example, conversation);
  assert.match(renamed.format, /prompt in "instruction", chosen in "chosen_response"/);
  // A system message beside lists of messages
  assert.deepEqual(parse({ system: "s", chosen, rejected }).example, withSystem);
  // Tables have nulls where rows have no value.
  assert.equal(
    parse({ prompt: "p", chosen: "c", rejected: "r", system: null }).format,
    "text with prompt",
  );
});

Deno.test("pairs: columns can be named", () => {
  const parse = (value: Record<string, unknown>, columns: NamedColumns) =>
    parsePair(row(value), { columns }).example;
  const text = { kind: "text", prompt: "p", completions: ["c", "r"] };
  assert.deepEqual(
    parse({ a: "p", b: "c", d: "r" }, { prompt: "a", chosen: "b", rejected: "d" }),
    text,
  );
  // A column that the user calls the prompt is TRL's prompt, whatever its name says.
  assert.deepEqual(
    parse({ question: "p", chosen: "c", rejected: "r" }, { prompt: "question" }),
    text,
  );
  const lists = {
    prompt: "x",
    chosen: [user("q"), assistant("c")],
    rejected: [user("q"), assistant("r")],
  };
  assert.deepEqual(parse(lists, { prompt: "none" }), {
    kind: "messages",
    prompt: [user("q")],
    completions: [[assistant("c")], [assistant("r")]],
  });
  const system = { system: "s", prompt: "p", chosen: "c", rejected: "r" };
  assert.deepEqual(parse(system, { system: "none" }), text);
});

Deno.test("pairs: columns that are missing or ambiguous are refused", () => {
  const refused = (value: Record<string, unknown>, columns: NamedColumns, message: RegExp) =>
    assert.throws(() => parsePair(row(value), { columns }), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  const pair = { chosen: "c", rejected: "r" };
  refused(
    { ...pair, x: "p" },
    { prompt: "q" },
    /a column "q" for --prompt-column, found chosen, rejected, x/,
  );
  refused(
    { ...pair, instruction: "a", input: "b" },
    {},
    /one column for the prompt, found instruction and input: name one with --prompt-column/,
  );
  refused({ ...pair, system: "s" }, {}, /a prompt beside the system message/);
  refused({ ...pair, question: 3 }, {}, /"question" to be a string, found 3/);
  refused({ ...pair, prompt: "p", system: 3 }, {}, /"system" to be a string, found 3/);
});

Deno.test("pairs: token ids", () => {
  assert.deepEqual(parsePair(row({ prompt_ids: [1], chosen_ids: [2, 3], rejected_ids: [] })), {
    format: "token ids",
    example: { kind: "tokens", prompt: [1], completions: [[2, 3], []] },
    columns: ["prompt_ids", "chosen_ids", "rejected_ids"],
  });
});

Deno.test("pairs: what is none of these is refused, naming file, line and field", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{}, /chosen: nothing, rejected: nothing \(columns: none\)/],
    [{ a: 1, b: 2 }, /rejected: nothing \(columns: a, b\)/],
    [{ prompt: "p", chosen: "c" }, /rejected: nothing/],
    [{ prompt: "p", chosen: "c", rejected: [] }, /rejected: a list of 0/],
    [{ prompt: 3, chosen: "c", rejected: "r" }, /"prompt" to be a string, found 3/],
    [{ prompt: "p", chosen: "\ud800", rejected: "r" }, /"chosen" to be Unicode text, found a lone/],
    [{ prompt: [user("\udc00x")], chosen: [], rejected: [] }, /"prompt" to be Unicode text/],
    [{ chosen: "c", rejected: "r" }, /a "prompt", or "\\n\\nAssistant:"/],
    [{ chosen: "\n\nAssistant: c", rejected: "\n\nHuman: r" }, /neither/],
    [
      { prompt_ids: [1], chosen_ids: [2] },
      /"rejected_ids" to be a list of token ids, found nothing/,
    ],
    [
      { prompt_ids: [1], chosen_ids: [2, -1], rejected_ids: [3] },
      /"chosen_ids" to hold token ids, found -1/,
    ],
    [
      { prompt_ids: ["1"], chosen_ids: [2], rejected_ids: [3] },
      /"prompt_ids" to hold token ids, found "1"/,
    ],
    [{ prompt_ids: [1.5], chosen_ids: [2], rejected_ids: [3] }, /found 1.5/],
    [{ chosen: ["c"], rejected: [user("r")] }, /"chosen" to hold messages/],
    [
      { chosen: [{ role: "user" }], rejected: [] },
      /"role" and "content" as strings, or .*, found {"role":"user"}/,
    ],
    [{ chosen: [assistant("c")], rejected: [assistant("r")] }, /share a beginning/],
    [{ chosen: [user("a"), user("b")], rejected: [user("a"), user("c")] }, /share a beginning/],
    [
      { prompt: "x", chosen: [user("q"), assistant("c")], rejected: [user("q"), assistant("r")] },
      /"prompt" to be a message list or the first user message/,
    ],
  ];
  for (const [value, message] of cases) {
    assert.throws(() => parsePair(row(value)), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      assert.match(error.message, /^Cannot use f.jsonl, line 3: expected /);
      return true;
    });
  }
});

Deno.test("sequences: every shape", () => {
  const example = (value: Record<string, unknown>) => parseSequence(row(value)).example;
  assert.deepEqual(example({ text: "t" }), { kind: "text", prompt: "", completions: ["t"] });
  assert.deepEqual(example({ prompt: "p", completion: "c" }), {
    kind: "text",
    prompt: "p",
    completions: ["c"],
  });
  assert.deepEqual(example({ prompt: [user("q")], completion: [assistant("a")] }), {
    kind: "messages",
    prompt: [user("q")],
    completions: [[assistant("a")]],
  });
  const turns = [user("q"), assistant("a"), user("q2"), assistant("a2")];
  assert.deepEqual(example({ messages: turns }), {
    kind: "messages",
    prompt: turns.slice(0, 3),
    completions: [turns.slice(3)],
  });
  assert.deepEqual(example({ input_ids: [1, 2, 3], prompt_length: 2 }), {
    kind: "tokens",
    prompt: [1, 2],
    completions: [[3]],
  });
  assert.deepEqual(example({ input_ids: [1, 2] }), {
    kind: "tokens",
    prompt: [],
    completions: [[1, 2]],
  });
});

Deno.test("sequences: what is none of these is refused", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{}, /found an empty row/],
    [{ question: "q", answer: "a" }, /found question, answer/],
    [{ text: 1 }, /"text" to be a string, found 1/],
    [{ prompt: "p" }, /"completion" to be a string, found nothing/],
    [{ prompt: [user("q")] }, /"completion" to be a list of messages, found nothing/],
    [{ messages: [user("q")] }, /a message of the "assistant", found none/],
    [{ input_ids: [1], prompt_length: 2 }, /"prompt_length" from 0 to 1, found 2/],
    [{ input_ids: [1], prompt_length: -1 }, /"prompt_length" from 0 to 1/],
  ];
  for (const [value, message] of cases) {
    assert.throws(() => parseSequence(row(value)), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("pairs: OpenAI's preference rows", () => {
  const [preferred_output, non_preferred_output] = [[assistant("c")], [assistant("r")]];
  const pair = { input: { messages: [user("q")] }, preferred_output, non_preferred_output };
  assert.deepEqual(parsePair(row(pair)), {
    format: "OpenAI's preference rows",
    example: {
      kind: "messages",
      prompt: [user("q")],
      completions: [preferred_output, non_preferred_output],
    },
    columns: ["input", "preferred_output", "non_preferred_output"],
  });
  const wrong: [object, RegExp][] = [
    [{ ...pair, input: "q" }, /"input" to be an object with "messages", found "q"/],
    [{ ...pair, input: {} }, /line 3: expected "messages" to be a list/],
    [{ input: pair.input, preferred_output }, /"non_preferred_output" to be a list/],
  ];
  for (const [value, message] of wrong) {
    assert.throws(() => parsePair(row({ ...value })), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("pairs and sequences: ShareGPT's messages", () => {
  const human = (value: string) => ({ from: "human", value });
  const gpt = (value: string) => ({ from: "gpt", value });
  const system = { from: "system", value: "s" };
  const conversations = [system, human("q"), gpt("a"), human("r")];
  const pair = { conversations, chosen: gpt("c"), rejected: gpt("d") };
  assert.deepEqual(parsePair(row(pair)), {
    format:
      'messages with prompt (prompt in "conversations", chosen in "chosen", rejected in "rejected")',
    example: {
      kind: "messages",
      prompt: [{ role: "system", content: "s" }, user("q"), assistant("a"), user("r")],
      completions: [[assistant("c")], [assistant("d")]],
    },
    columns: ["conversations", "chosen", "rejected"],
  });
  const whole = { chosen: [human("q"), gpt("c")], rejected: [human("q"), gpt("d")] };
  assert.deepEqual(
    parsePair(row(whole)),
    parsePair(row({
      chosen: [user("q"), assistant("c")],
      rejected: [user("q"), assistant("d")],
    })),
  );
  assert.deepEqual(parseSequence(row({ conversations: [human("q"), gpt("a")] })), {
    format: "messages",
    example: { kind: "messages", prompt: [user("q")], completions: [[assistant("a")]] },
    columns: ["conversations"],
  });
  for (
    const odd of [{ from: "observation", value: "x" }, { from: "human" }, {
      from: ["gpt"],
      value: "",
    }]
  ) {
    assert.throws(
      () => parsePair(row({ ...pair, conversations: [odd] })),
      /"value" and "from" as one of human, gpt, system/,
    );
  }
  assert.throws(() => parsePair(row({ chosen: gpt("c"), rejected: gpt("d") })), /chosen: /);
});
