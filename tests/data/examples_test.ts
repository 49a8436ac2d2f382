import assert from "node:assert/strict";
import type { NamedColumns } from "../../src/data/columns.ts";
import { parsePair } from "../../src/data/pair_rows.ts";
import { parseSequence } from "../../src/data/text_rows.ts";
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
    parsePair(row({ chosen, rejected })).example!;
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
        `rejected in "rejected")`,
      example: withSystem,
      columns: [name, "chosen", "rejected", "system"],
      additions: ['system in "system"'],
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
    { ...pair, instruction: "a", question: "b" },
    {},
    /one column for the prompt, found instruction and question: name one with --prompt-column/,
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
    [{ chosen: [1], rejected: [user("r")] }, /"chosen" to hold messages/],
    [{ prompt: "p", chosen: null, rejected: "r" }, /chosen: nothing, rejected: "r"/],
    [
      { Prompt: "p", Chosen: "c", Rejected: "r" },
      /--prompt-column Prompt --chosen-column Chosen --rejected-column Rejected/,
    ],
    [
      { prompt: "p", chosen: "[{'role': 'assistant', 'content': 'c'}]", rejected: "r" },
      /messages in "chosen" as JSON, found a list as Python prints it/,
    ],
    [
      { prompt: "p", chosen: [{ role: "assistant", content: null }], rejected: "r" },
      /"chosen" to hold messages with "role" and "content"/,
    ],
    [
      {
        prompt: [{ role: "user", content: [{ type: "image" }, { type: "text", text: "x" }] }],
        chosen: "c",
        rejected: "r",
      },
      /strings or text parts/,
    ],
    [
      {
        prompt: [user("q")],
        chosen: [{ ...assistant(""), tool_calls: [{ x: "\ud800" }] }],
        rejected: "r",
      },
      /"chosen" to be Unicode text/,
    ],
    [
      { chosen: [{ role: "user" }], rejected: [] },
      /"role" and "content" as strings or text parts, or .*, found {"role":"user"}/,
    ],
    [{ chosen: [assistant("c")], rejected: [assistant("r")] }, /share a beginning/],
    [{ chosen: [user("a"), user("b")], rejected: [user("a"), user("c")] }, /share a beginning/],
    [
      { prompt: "x", chosen: [user("q"), assistant("c")], rejected: [user("q"), assistant("r")] },
      /"prompt" to be a message list or a user message of the conversations/,
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
    [{ Prompt: "p", Chosen: "c" }, /name them with --prompt-column Prompt --chosen-column Chosen/],
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
    const odd of [{ from: "critic", value: "x" }, { from: "human" }, {
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

const pairOf = (value: Record<string, unknown>) => parsePair(row(value));
const turns = {
  kind: "messages",
  prompt: [user("q")],
  completions: [[assistant("c")], [assistant("r")]],
};

Deno.test("pairs: null is absent in every column", () => {
  const nulls = { prompt_ids: null, chosen_ids: null, preferred_output: null, messages: null };
  const others = { ...nulls, conversations: null, instruction: null, tools: null, system: null };
  assert.deepEqual(
    pairOf({ ...others, prompt: "p", chosen: "c", rejected: "r" }),
    pairOf({ prompt: "p", chosen: "c", rejected: "r" }),
  );
  const spoken = { ...user("q"), tool_calls: null, name: null };
  assert.deepEqual(pairOf({ prompt: [spoken], chosen: "c", rejected: "r" }).example, turns);
  assert.deepEqual(
    parseSequence(
      row({ messages: null, text: null, input_ids: null, prompt: "p", completion: "c" }),
    )
      .example,
    { kind: "text", prompt: "p", completions: ["c"] },
  );
});

Deno.test("pairs: a system message in some rows only does not change their shape", () => {
  const pair = { question: "q", chosen: "c", rejected: "r" };
  const shapes = [pair, { ...pair, system: null }, { ...pair, system: "s" }, {
    ...pair,
    system: "",
  }, { ...pair, system: [{ role: "system", content: "s" }] }].map((value) => pairOf(value).format);
  assert.equal(new Set(shapes).size, 1);
});

Deno.test("pairs: texts and messages beside one another", () => {
  const [c, r] = [assistant("c"), assistant("r")];
  const rows: Record<string, unknown>[] = [
    { prompt: "q", chosen: [c], rejected: [r] },
    { prompt: "q", chosen: c, rejected: r },
    { prompt: [user("q")], chosen: "c", rejected: "r" },
    { prompt: [user("q")], chosen: c, rejected: "r" },
    { prompt: user("q"), chosen: [c], rejected: r },
    { prompt: "q ", chosen: [user("q"), c], rejected: [user("q"), r] },
    { prompt: [user("q")], chosen: [user("q"), c], rejected: [user("q"), r] },
    {
      prompt: JSON.stringify([user("q")]),
      chosen: JSON.stringify(c),
      rejected: `[${JSON.stringify(r)}]`,
    },
    {
      prompt: [{ role: "user", content: [{ type: "text", text: "q" }] }],
      chosen: "c",
      rejected: "r",
    },
    {
      prompt: [{ role: "human", content: "q" }],
      chosen: { role: "GPT", content: "c" },
      rejected: r,
    },
    {
      conversations: [{ from: "User", value: "q" }],
      chosen: c,
      rejected: { from: "ChatGPT", value: "r" },
    },
    { question: "q", chosen: ["c"], rejected: ["r", "x"] },
    { messages: [user("q")], chosen: "c", rejected: "r" },
    { messages: [user("q")], chosen: c, rejected: r },
    { messages: [user("q"), c], chosen: [user("q"), c], rejected: [user("q"), r] },
    { prompt: [user("q")], chosen: [[c]], rejected: [[r], [r]] },
  ];
  for (const value of rows) {
    assert.deepEqual(pairOf(value).example, turns, JSON.stringify(value));
  }
});

Deno.test("pairs: what an Alpaca row's instruction is about belongs to it", () => {
  const pair = { chosen: "c", rejected: "r" };
  const promptOf = (value: Record<string, unknown>) => {
    const { example } = pairOf({ ...pair, ...value });
    return example?.kind === "messages" ? example.prompt : null;
  };
  assert.deepEqual(promptOf({ instruction: "Sum.", input: "2 and 3" }), [user("Sum.\n2 and 3")]);
  assert.deepEqual(promptOf({ instruction: "Sum.", input: "" }), [user("Sum.")]);
  assert.deepEqual(promptOf({ instruction: "Sum.", input: null }), [user("Sum.")]);
  assert.equal(
    pairOf({ ...pair, instruction: "a", input: "b" }).format,
    pairOf({ ...pair, instruction: "a" }).format,
  );
  assert.deepEqual(
    parseSequence(row({ instruction: "Sum.", input: "2", output: "2." })).example,
    { kind: "messages", prompt: [user("Sum.\n2")], completions: [[assistant("2.")]] },
  );
});

Deno.test("pairs: a prompt that stands twice is used once, and noted", () => {
  const notesOf = (value: Record<string, unknown>) => pairOf(value).notes ?? [];
  const system = { role: "system", content: "s" };
  const [c, r] = [assistant("c"), assistant("r")];
  const [whole, other] = [[user("q"), c], [user("q"), r]];
  assert.deepEqual(notesOf({ prompt: [user("q")], chosen: whole, rejected: other }), [
    "repeatedPrompts",
  ]);
  const begun = pairOf({
    prompt: [user("q")],
    chosen: [system, ...whole],
    rejected: [system, ...other],
  });
  assert.deepEqual(begun.example, { ...turns, prompt: [system, user("q")] });
  // An answer on one side only
  assert.deepEqual(pairOf({ prompt: [user("q")], chosen: whole, rejected: [r] }).example, turns);
  const prompt = "\n\nHuman: q\n\nAssistant:";
  const dialogue = pairOf({ prompt, chosen: `${prompt} c`, rejected: `${prompt} r` });
  assert.deepEqual(dialogue.example, { kind: "text", prompt, completions: [" c", " r"] });
  assert.deepEqual(dialogue.notes, ["repeatedPrompts"]);
  const echo = { prompt: "The sum is", chosen: "The sum is 5.", rejected: "The sum is 6." };
  assert.deepEqual(notesOf(echo), ["echoedPrompts"]);
  assert.deepEqual(notesOf({ prompt: "2+2=", chosen: "2+2=4", rejected: "2+2=5" }), []);
});

Deno.test("pairs: answers that are not the assistant's are noted", () => {
  const notesOf = (chosen: unknown, rejected: unknown) =>
    pairOf({ prompt: [user("q")], chosen, rejected }).notes ?? [];
  assert.deepEqual(notesOf([assistant("c")], [user("r")]), ["otherSpeakers"]);
  assert.deepEqual(notesOf([assistant("c")], [assistant("r")]), []);
});

Deno.test("messages: tool calls, tools and reasoning go along", () => {
  const call = { type: "function", function: { name: "f", arguments: { a: 1 } } };
  const tools = [{ type: "function", function: { name: "f" } }];
  const prompt = [user("q"), { role: "assistant", content: null, tool_calls: [call] }, {
    role: "tool",
    name: "f",
    content: "x",
  }];
  const chosen = [{ ...assistant("c"), reasoning_content: "why" }];
  const rejected = [assistant("r")];
  const expected = { kind: "messages", prompt, completions: [chosen, rejected], tools };
  const parsed = pairOf({ prompt, chosen, rejected, tools });
  assert.deepEqual(parsed.example, expected);
  assert.deepEqual(parsed.columns, ["prompt", "chosen", "rejected", "tools"]);
  const asText = { prompt, chosen, rejected, tools: JSON.stringify(tools) };
  assert.deepEqual(pairOf(asText).example, expected);
  const openAi = {
    input: { messages: prompt, tools },
    preferred_output: chosen,
    non_preferred_output: rejected,
  };
  assert.deepEqual(pairOf(openAi).example, expected);
  assert.deepEqual(parseSequence(row({ messages: [...prompt, ...rejected], tools })).example, {
    ...expected,
    completions: [rejected],
  });
  // ShareGPT's
  const conversations = [
    { from: "human", value: "q" },
    { from: "function_call", value: '{"name": "f", "arguments": {"a": 1}}' },
    { from: "observation", value: "x" },
  ];
  const shareGpt = pairOf({ conversations, chosen: "c", rejected: "r" }).example;
  assert.deepEqual(shareGpt?.kind === "messages" && shareGpt.prompt, [
    prompt[0],
    { ...prompt[1], content: "" },
    { role: "tool", content: "x" },
  ]);
  // A column that is called so, but is about hammers
  const other = pairOf({ prompt, chosen, rejected, tools: "hammer, saw" });
  assert.deepEqual(other.columns, ["prompt", "chosen", "rejected"]);
  const inText = { ...prompt[1], tool_calls: JSON.stringify([call]) };
  assert.deepEqual(
    pairOf({ prompt: [prompt[0], inText, prompt[2]], chosen, rejected, tools }).example,
    expected,
  );
});

Deno.test("sequences: turns behind the last answer are left out, and so are bad answers", () => {
  const trailing = parseSequence(row({ messages: [user("q"), assistant("a"), user("bye")] }));
  assert.deepEqual(trailing.example, {
    kind: "messages",
    prompt: [user("q")],
    completions: [[assistant("a")]],
  });
  assert.deepEqual(trailing.notes, ["turnsLeftOut"]);
  const labelled = (label: boolean) =>
    parseSequence(row({ prompt: "q", completion: "a", label })).example;
  assert.equal(labelled(false), null);
  assert.notEqual(labelled(true), null);
  const mixed = { prompt: "q", completion: [assistant("a")] };
  assert.deepEqual(parseSequence(row(mixed)).example, trailing.example);
});
