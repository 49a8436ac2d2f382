import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { byteTokenizerFiles } from "./byte_tokenizer.ts";

type Json = Record<string, unknown>;

function load(change: Json, model: Json = {}) {
  const definition = JSON.parse(byteTokenizerFiles()["tokenizer.json"]);
  const changed = { ...definition, ...change, model: { ...definition.model, ...model } };
  return loadTokenizer(new MemoryDirectory({ "tokenizer.json": JSON.stringify(changed) }));
}

const regex = (Regex: string) => ({
  pre_tokenizer: { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false },
});

/** What is not known to be right, and what the message must name. */
const REFUSED: [string, Json, Json, RegExp][] = [
  ["a type of normalizer", { normalizer: { type: "Nmt" } }, {}, /normalizer .*found "Nmt"/],
  [
    "a type within a sequence",
    {
      normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "BertNormalizer" }] },
    },
    {},
    /normalizer\.normalizers\[1\] .*found "BertNormalizer"/,
  ],
  [
    "a type of pre-tokenizer",
    { pre_tokenizer: { type: "UnicodeScripts" } },
    {},
    /pre_tokenizer .*found "UnicodeScripts"/,
  ],
  [
    "an option nobody knows",
    { pre_tokenizer: { type: "Digits", individual_digits: true, roman: true } },
    {},
    /"roman" of pre_tokenizer \(Digits\)/,
  ],
  [
    "a value of an option",
    { pre_tokenizer: { type: "Punctuation", behavior: "Doubled" } },
    {},
    /"behavior" of pre_tokenizer \(Punctuation\) .*Isolated.*found "Doubled"/,
  ],
  [
    "rules that are none",
    { normalizer: { type: "Precompiled", precompiled_charsmap: "é" } },
    {},
    /"precompiled_charsmap" of normalizer \(Precompiled\)/,
  ],
  ["a type of decoder", { decoder: { type: "CTC" } }, {}, /decoder .*found "CTC"/],
  ["a post-processor", { post_processor: { type: "Reversed" } }, {}, /post_processor .*"Reversed"/],
  ["a type of model", {}, { type: "Characters" }, /model .*found "Characters"/],
  ["ids that vary", {}, { dropout: 0.1 }, /"dropout" of model \(BPE\) .*found 0\.1/],
  ["merges of other tokens", {}, { merges: ["é ß"] }, /"merges" of model \(BPE\)/],
  ["an atomic group", regex("(?>a|ab)c"), {}, /Regex without "\(\?>a"/],
  ["an option of a group", regex("(?m:a.)"), {}, /Regex without "\(\?m:"/],
  ["the end of the last match", regex(String.raw`\Ga`), {}, /Regex without "\\G/],
  ["a ligature without case", regex("(?i:first)"), {}, /Regex without "fi" where case/],
  ["an unknown key", { embeddings: {} }, {}, /found "embeddings"/],
  ["no list of added tokens", { added_tokens: {} }, {}, /"added_tokens" to be a list/],
  [
    "added tokens that become the same",
    {
      normalizer: { type: "Lowercase" },
      added_tokens: ["<A>", "<a>"].map((content) => ({ id: 200, content, normalized: true })),
    },
    {},
    /makes "<a>" the same as "<A>"/,
  ],
];

for (const [what, change, model, message] of REFUSED) {
  Deno.test(`tokenizer: refuses ${what}, by its name`, async () => {
    await assert.rejects(load(change, model), (error) => {
      assert.ok(error instanceof UserError, String(error));
      assert.match(error.message, /^Cannot use memory\/tokenizer\.json: expected /);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("tokenizer: keys may be absent, and the old spelling has no type of model", async () => {
  const definition = JSON.parse(byteTokenizerFiles(["h i"])["tokenizer.json"]);
  const { model: { type: _, ...model }, pre_tokenizer, decoder } = definition;
  const tokenizer = await loadTokenizer(
    new MemoryDirectory({ "tokenizer.json": JSON.stringify({ model, pre_tokenizer, decoder }) }),
  );
  const ids = tokenizer!.encode("hi!");
  assert.equal(ids.length, 2);
  assert.equal(tokenizer!.decode(ids), "hi!");
  assert.deepEqual([...tokenizer!.specialIds], []);
});
