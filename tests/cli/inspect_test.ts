import assert from "node:assert/strict";
import { main } from "../../src/cli/main.ts";
import { byteTokenizerFiles } from "../text/byte_tokenizer.ts";
import { MemoryOutput } from "./output.ts";

const config = {
  model_type: "llama",
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 16,
  vocab_size: 110,
};

/** Runs `inspect` on a model and rows of its own. */
async function inspect(
  rows: string[],
  flags: string[],
  columns: number | null = null,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const path = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(byteTokenizerFiles(["a b"]))) {
      await Deno.writeTextFile(`${path}/${name}`, text);
    }
    await Deno.writeTextFile(`${path}/config.json`, JSON.stringify(config));
    await Deno.writeTextFile(`${path}/rows.jsonl`, rows.join("\n"));
    const stdout = new MemoryOutput(columns), stderr = new MemoryOutput();
    const placed = flags.map((flag) => flag.replace(/^rows/, `${path}/rows`));
    const words = ["inspect", "--model", path, "--dataset", `${path}/rows.jsonl`, ...placed];
    const code = await main(words, stdout, stderr);
    return { code, stdout: stdout.text.replaceAll(path, "DIR"), stderr: stderr.text };
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

const rows = [
  '{"prompt": "ab", "chosen": "\\n\\u001b[31mb", "rejected": "a"}',
  '{"prompt": "abababab", "chosen": "b", "rejected": "a"}',
];

Deno.test("inspect: rows for people, without colours where there is no terminal", async () => {
  const { code, stdout } = await inspect(rows, ["--max-length", "4"]);
  assert.equal(code, 0);
  assert.equal(
    stdout,
    [
      "no begin token, end <|endoftext|> once; prompt and completion encoded one by one",
      "",
      "row 0: DIR/rows.jsonl, line 1 (text with prompt)",
      "  chosen",
      "    prompt (1)               |ab|",
      "    completion, scored (3)   |⏎|\\x1b|[|",
      "    completion, cut (5)      |3|1|m|b|<|endoftext|>|",
      "  rejected",
      "    prompt (1)               |ab|",
      "    completion, scored (2)   |a|<|endoftext|>|",
      "",
      "row 1: DIR/rows.jsonl, line 2 (text with prompt)",
      "  dropped: the prompt leaves no room for a completion",
      "  chosen",
      "    prompt (4)               |ab|ab|ab|ab|",
      "    completion (2)           |b|<|endoftext|>|",
      "  rejected",
      "    prompt (4)               |ab|ab|ab|ab|",
      "    completion (2)           |a|<|endoftext|>|",
      "",
      "",
    ].join("\n"),
  );
});

Deno.test("inspect: colours in a terminal, unless NO_COLOR forbids them", async () => {
  const { stdout } = await inspect(rows, ["--rows", "1"], 80);
  assert.equal(stdout.includes("\x1b["), !Deno.noColor);
  assert.ok(!stdout.includes("\x1b[31mb"), "a dataset cannot steer the terminal");
});

Deno.test("inspect: JSON lines, from any row on", async () => {
  const { stdout } = await inspect(rows, ["--json", "--row", "1", "--score", "all"]);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.length, 1);
  assert.equal(lines[0].index, 1);
  assert.equal(lines[0].dropped, null);
  assert.deepEqual(lines[0].sequences[1].tokens.at(-1), {
    id: 0,
    text: "<|endoftext|>",
    part: "completion",
    cut: false,
    scored: true,
  });
});

Deno.test("inspect: mistakes end with code 2 and one line", async () => {
  const missing = await inspect(rows, ["--row", "2"]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /^error: Cannot show row 2 of .*: expected a row from 0 to 1\n$/);
  const broken = await inspect(["{"], []);
  assert.equal(broken.code, 2);
  assert.match(broken.stderr, /rows.jsonl, line 1: expected JSON/);
});

Deno.test("inspect --audit: findings of the dataset and of what is held out against it", async () => {
  const row = (prompt: string, chosen: string, rejected: string) =>
    JSON.stringify({ prompt, chosen, rejected });
  const twice = [
    row("a", "bb b", "c"),
    row("a", "bb b", "c"),
    row("a", "c", "bb b"),
    row("b", "", "c"),
  ];
  const { code, stdout } = await inspect(twice, ["--audit", "--eval-dataset", "rows.jsonl[:1]"]);
  assert.equal(code, 0);
  assert.equal(
    stdout,
    [
      "DIR/rows.jsonl: 3 of 4 pairs, 1 dropped (empty completion); text with prompt",
      "  pairs                     3",
      "  duplicates                1  rows 1",
      "  contradictions            1  rows 2",
      "  identical                 0",
      "  empty answers             1",
      "  longer wins          66.7 %",
      "",
      "DIR/rows.jsonl[:1]: 1 of 1 pairs; text with prompt; from DIR/rows.jsonl",
      "  pairs                     1",
      "  duplicates                0",
      "  contradictions            0",
      "  identical                 0",
      "  empty answers             0",
      "  leaked pairs              1  rows 0",
      "  leaked prompts            0",
      "  longer wins         100.0 %",
      "",
      "",
    ].join("\n"),
  );
  const { stdout: json } = await inspect(twice, ["--audit", "--json"]);
  const { audit, counts } = JSON.parse(json);
  assert.deepEqual(audit.contradictions, { count: 1, rows: [2] });
  assert.equal(counts.kept, 3);
  const shown = await inspect(twice, ["--eval-dataset", "rows.jsonl"]);
  assert.match(shown.stderr, /Expected --eval-dataset only with --audit/);
});
