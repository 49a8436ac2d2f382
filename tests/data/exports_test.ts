import assert from "node:assert/strict";
import { isPairRow, parsePair } from "../../src/data/pair_rows.ts";
import { UserError } from "../../src/errors.ts";

const row = (value: Record<string, unknown>) => ({ where: "f.json, row 3", value });
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const conversation = {
  kind: "messages",
  prompt: [user("q")],
  completions: [[assistant("c")], [assistant("r")]],
};

/** Rows become the same pair, by a format of this name. */
function understood(format: RegExp, ...rows: Record<string, unknown>[]): void {
  for (const value of rows) {
    const parsed = parsePair(row(value));
    assert.deepEqual(parsed.example, conversation, JSON.stringify(value));
    assert.match(parsed.format, format);
    assert.ok(isPairRow(row(value)));
  }
}

/** Rows prefer no answer, which does not make them rows of another shape. */
function withoutPreference(format: RegExp, ...rows: Record<string, unknown>[]): void {
  for (const value of rows) {
    const { example, format: found } = parsePair(row(value));
    assert.equal(example, null, JSON.stringify(value));
    assert.match(found, format);
  }
}

Deno.test("exports: ms-swift", () => {
  const messages = [user("q"), assistant("c")];
  understood(
    /ms-swift/,
    { messages, rejected_response: "r" },
    { messages, rejected_response: ["r", "s"] },
    { messages, rejected_response: assistant("r"), chosen: null },
    { query: "q", response: "c", rejected_response: "r" },
  );
  understood(/ms-swift/, { messages, rejected_messages: [user("q"), assistant("r")] });
  const { notes } = parsePair(row({ messages, rejected_response: ["r", "s"] }));
  assert.deepEqual(notes, ["severalAnswers"]);
});

Deno.test("exports: several answers with ratings or ranks", () => {
  understood(
    /answers in "\w+" with \w+, best against worst/,
    { instruction: "q", generations: ["x", "c", "r"], ratings: [3, 5, 1] },
    { instruction: "q", generations: ["x", "c", "r"], ratings: ["3", "5.0", "1"] },
    { instruction: "q", generations: ["x", "c", "r"], ratings: [null, 5, 1] },
    { instruction: "q", generations: '["r", "c"]', ratings: "[1, 2]" },
    { question: "q", responses: ["r", "c"], ranks: [2, 1] },
    {
      context: [user("q")],
      completions: [{ rank: 1, completion: [assistant("r")] }, {
        rank: 0,
        completion: [assistant("c")],
      }],
    },
    { question: "q", answers: [{ answer: "c", rank: 1 }, { answer: "r", rank: 7 }] },
    {
      instruction: "q",
      completions: [{ response: "r", overall_score: 2.5 }, { response: "c", overall_score: 8 }],
    },
    { messages: [user("q")], candidates: ["c", "r"], scores: [1, 0] },
  );
  withoutPreference(
    /best against worst/,
    { instruction: "q", generations: ["a", "b"], ratings: [4, 4] },
    { instruction: "q", generations: ["a", "b"], ratings: [4, null] },
    { instruction: "q", generations: [], ratings: [] },
  );
  const { notes, columns } = parsePair(
    row({ instruction: "q", generations: ["x", "c", "r"], ratings: [3, 5, 1], id: 1 }),
  );
  assert.deepEqual(notes, ["severalAnswers"]);
  assert.deepEqual(columns, ["generations", "ratings", "instruction"]);
  // distilabel keeps them beside the pair that it made.
  const made = { prompt: "p", chosen: "c", rejected: "r", generations: ["x"], ratings: [1] };
  assert.equal(parsePair(row(made)).format, "text with prompt");
});

Deno.test("exports: Argilla, flattened and nested", () => {
  const fields = { instruction: "q", "generations-0": "r", "generations-1": "c" };
  understood(
    /Argilla/,
    {
      id: "1",
      status: "completed",
      ...fields,
      "generations-0-rating.responses": [1, 2],
      "generations-0-rating.responses.users": ["u", "v"],
      "generations-0-rating.responses.status": ["submitted", "submitted"],
      "generations-1-rating.responses": [3, 0],
      "generations-1-rating.responses.status": ["submitted", "discarded"],
      "generations-1-rating.suggestion": 0,
    },
    { ...fields, "generations-0-rating.suggestion": 1, "generations-1-rating.suggestion": 2 },
    { ...fields, "preference.responses": ["generations-1"] },
    { ...fields, "preference.responses": ["generations_1", "generations-1", "generations-0"] },
    {
      ...fields,
      "preference.responses": [[{ value: "generations-1", rank: 1 }, {
        value: "generations-0",
        rank: 2,
      }]],
    },
    { ...fields, "preference.suggestion": ["generations-1", "generations-0"] },
    {
      id: "1",
      fields,
      responses: { preference: [{ value: "generations-1", user_id: "u" }] },
      suggestions: { preference: { value: "generations-0", agent: "a" } },
    },
  );
  withoutPreference(
    /Argilla/,
    { ...fields, "preference.responses": null, "preference.suggestion": null, "x.responses": [] },
    { ...fields, "preference.responses": ["generations-1", "generations-0"] },
  );
});

Deno.test("exports: Label Studio", () => {
  const data = { prompt: "q", answer1: "r", answer2: "c" };
  const annotation = (selected: string, was_cancelled = false, to_name = "answer1,answer2") => ({
    result: [{ type: "pairwise", from_name: "pw", to_name, value: { selected } }],
    was_cancelled,
  });
  understood(
    /Label Studio/,
    { id: 1, data, annotations: [annotation("right")] },
    { id: 1, data, annotations: [annotation("answer2")] },
    { id: 1, data, annotations: [annotation("left", true), annotation("right")] },
    { id: 1, data, annotations: [annotation("left"), annotation("right"), annotation("right")] },
    {
      data: { question: "q", first: "r", second: "c" },
      annotations: [annotation("right", false, "a,b")],
    },
    { data: { ...data, prompt: [user("q")] }, annotations: [annotation("right")] },
  );
  withoutPreference(
    /Label Studio/,
    { data, annotations: [] },
    { data, annotations: [annotation("left", true)] },
    { data, annotations: [annotation("left"), annotation("right")] },
  );
  for (
    const [value, message] of [
      [
        { data, annotations: [annotation("both")] },
        /left, right, answer1 or answer2, found "both"/,
      ],
      [
        { data: { prompt: "q", a: "r" }, annotations: [annotation("left")] },
        /two answers in "data"/,
      ],
    ] as const
  ) {
    assert.throws(() => parsePair(row({ ...value })), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("exports: Open WebUI's feedback", () => {
  const feedback = (rating: number, id: string, others: Record<string, unknown> = {}) => ({
    id: "f",
    type: "rating",
    data: { rating, model_id: "m", sibling_model_ids: ["n"] },
    meta: { arena: false, chat_id: "k", message_id: id, message_index: 1 },
    snapshot: {
      chat: {
        chat: {
          history: {
            messages: {
              s: { id: "s", parentId: null, role: "user", content: "q" },
              a: { id: "a", parentId: "s", role: "assistant", content: "c" },
              b: { id: "b", parentId: "s", role: "assistant", content: "r" },
              ...others,
            },
          },
        },
      },
    },
    created_at: 1,
  });
  const alike = {
    x: { id: "x", parentId: "s", role: "assistant", content: "x", annotation: { rating: 1 } },
  };
  understood(
    /Open WebUI/,
    feedback(1, "a"),
    feedback(-1, "b"),
    feedback(1, "a", alike),
  );
  assert.deepEqual(parsePair(row(feedback(1, "a", alike))).notes, ["severalAnswers"]);
  const later = feedback(1, "d", {
    t: { id: "t", parentId: "a", role: "user", content: "q2" },
    d: { id: "d", parentId: "t", role: "assistant", content: "d" },
    e: { id: "e", parentId: "t", role: "assistant", content: "e" },
  });
  assert.deepEqual(parsePair(row(later)).example, {
    kind: "messages",
    prompt: [user("q"), assistant("c"), user("q2")],
    completions: [[assistant("d")], [assistant("e")]],
  });
  withoutPreference(
    /Open WebUI/,
    feedback(1, "a", { b: { id: "b", parentId: "s", role: "assistant", content: "" } }),
    feedback(0, "a"),
    feedback(1, "gone"),
    // A circle of parents comes to an end.
    feedback(1, "a", { a: { parentId: "a", role: "assistant", content: "c" } }),
  );
});

Deno.test("exports: two answers and a verdict", () => {
  understood(/human preferences/, { history: "q", human_ref_A: "r", human_ref_B: "c", labels: 0 });
  understood(/arena/, {
    conversation_a: [user("q"), assistant("c")],
    conversation_b: [user("q"), assistant("r")],
    winner: "model_a",
  });
  const better = { question: "q", response_0: "r", response_1: "c", better_response_id: 1 };
  understood(/the better one's number/, better);
  const tied = { conversation_a: [], conversation_b: [], winner: "tie" };
  withoutPreference(/arena/, tied);
});
