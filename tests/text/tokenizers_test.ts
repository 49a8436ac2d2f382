import assert from "node:assert/strict";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { askPython, lackOfPython } from "../python.ts";
import { lackOfReference, REFERENCE, unless } from "../skip.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { hostileStrings } from "./hostile.ts";

const COUNT = 10_000;

interface Answer {
  version: string;
  answers: { ids: number[][]; texts: string[] }[];
}

const lack = await lackOfPython("tokenizers");

/** How Qwen's tokenizers cut text. */
const QWEN_PIECES = String
  .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** The shipped model's tokenizer with the rules of Qwen2 and Qwen3. */
async function writeQwenTokenizer(directory: string): Promise<void> {
  const shipped = JSON.parse(await Deno.readTextFile("fixtures/model/tokenizer.json"));
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false };
  const pieces = { type: "Split", pattern: { Regex: QWEN_PIECES }, behavior: "Isolated" };
  const rules = {
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [{ ...pieces, invert: false }, { ...bytes, use_regex: false }],
    },
  };
  await Deno.writeTextFile(`${directory}/tokenizer.json`, JSON.stringify({ ...shipped, ...rules }));
}

/** Compares with Hugging Face's tokenizers, in Rust. */
async function compare(directory: string): Promise<void> {
  const strings = hostileStrings(COUNT);
  // The original takes no halves of characters; here they count as U+FFFD, as everywhere on the web.
  const texts = strings.map((text) => text.toWellFormed());
  assert.ok(strings.some((text, i) => text !== texts[i]));

  const { version, answers: [expected] } = await askPython<Answer>(
    new URL("tokenizers_peer.py", import.meta.url),
    { files: [`${directory}/tokenizer.json`], texts },
  );
  console.log(`tokenizers ${version}`);
  const tokenizer = (await loadTokenizer(await openDirectory(directory)))!;
  assert.equal(expected.ids.length, COUNT);
  for (const [i, ids] of expected.ids.entries()) {
    assert.deepEqual(tokenizer.encode(strings[i]), ids, JSON.stringify(strings[i]));
    assert.equal(tokenizer.decode(ids), expected.texts[i]);
  }
}

const what = "ids and texts of 10,000 hostile strings are those of Hugging Face's";

Deno.test(
  unless(lack, `${what}: the shipped model`),
  () => compare("fixtures/model"),
);

Deno.test(
  unless(lack ?? lackOfReference, `${what}: SmolLM`),
  () => compare(`${REFERENCE}tokenizer`),
);

Deno.test(unless(lack, `${what}: Qwen's rules`), () =>
  inTemporaryDirectory(async (directory) => {
    await writeQwenTokenizer(directory);
    await compare(directory);
  }));
