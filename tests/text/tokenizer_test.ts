import { Tokenizer } from "@huggingface/tokenizers";
import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer, type TextTokenizer } from "../../src/text/tokenizer.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { byteTokenizer, byteTokenizerFiles, END, IM_END, IM_START } from "./byte_tokenizer.ts";
import { lackOfReference, REFERENCE, unless } from "../skip.ts";

const smolLM = () => openDirectory(`${REFERENCE}tokenizer`);

/** Tests against SmolLM's real tokenizer, which does not come with the repository. */
function referenceTest(name: string, test: (tokenizer: TextTokenizer) => Promise<void>): void {
  Deno.test({
    ...unless(lackOfReference, name),
    fn: async () => await test((await loadTokenizer(await smolLM()))!),
  });
}

async function readLines(path: string): Promise<string[]> {
  let stream = (await Deno.open(path)).readable;
  if (path.endsWith(".gz")) stream = stream.pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).text()).trimEnd().split("\n");
}

referenceTest("tokenizer: Hugging Face's answers for SmolLM", async (tokenizer) => {
  const [note, ...lines] = await readLines(`${REFERENCE}tokenizer/known-pairs.jsonl`);
  assert.equal(lines.length, JSON.parse(note).count);
  for (const line of lines) {
    const { text, ids } = JSON.parse(line);
    assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
  }
  assert.equal(tokenizer.vocabSize, 49152);
  assert.equal(tokenizer.eosTokenId, 0);
  assert.equal(tokenizer.bosTokenId, 0);
  assert.equal(tokenizer.padTokenId, null);
  assert.deepEqual(tokenizer.prefixIds, []);
});

referenceTest("tokenizer: every id of the HH texts", async (tokenizer) => {
  const expected = {
    "hh-harmless-train": "ef2fb16c76ad20fca44ec2f4973506832d2d1df8d8e5107633ccfffad9d9d54a",
    "hh-harmless-eval": "9dc4e1192c8b711a00b3eab0951a92a34d9025f65f0173ad2b7326ca3dd3e982",
  };
  for (const [name, sum] of Object.entries(expected)) {
    const ids: number[] = [];
    for (const line of await readLines(`${REFERENCE}data/${name}.jsonl.gz`)) {
      const { chosen, rejected } = JSON.parse(line);
      for (const text of [chosen, rejected]) {
        const encoded = tokenizer.encode(text);
        assert.equal(tokenizer.decode(encoded), text);
        ids.push(...encoded, 0xffffffff);
      }
    }
    const digest = await crypto.subtle.digest("SHA-256", Uint32Array.from(ids));
    assert.equal(new Uint8Array(digest).toHex(), sum, name);
  }
});

referenceTest(
  "tokenizer: strings on which the library alone differs from the original",
  async (tokenizer) => {
    // Ids from the original in Rust, tokenizers 0.23.3.
    const cases: [string, number[]][] = JSON.parse(
      await Deno.readTextFile(new URL("hostile_strings.json", import.meta.url)),
    );
    const uncorrected = new Tokenizer(
      JSON.parse(await Deno.readTextFile(`${REFERENCE}tokenizer/tokenizer.json`)),
      {},
    );
    for (const [text, ids] of cases) {
      assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
      const alone = uncorrected.encode(text, { add_special_tokens: false }).ids;
      assert.notDeepEqual(alone, ids, "a correction of pre_tokenizer.ts is no longer needed");
    }
  },
);

referenceTest("tokenizer: merges in the spelling with pairs", async (tokenizer) => {
  const definition = JSON.parse(await Deno.readTextFile(`${REFERENCE}tokenizer/tokenizer.json`));
  definition.model.merges = definition.model.merges.map((merge: string) => merge.split(" "));
  const pairs = await loadTokenizer(
    new MemoryDirectory({ "tokenizer.json": JSON.stringify(definition) }),
  );
  const text = "Feed it at a 1:5:5 ratio; it'll be fine.\n\n  Übung \u0085 ½";
  assert.deepEqual(pairs!.encode(text), tokenizer.encode(text));
});

Deno.test("tokenizer: special tokens are read from text and written back", async () => {
  const tokenizer = await byteTokenizer(["h i"]);
  const ids = tokenizer.encode("<|im_start|>hi!<|im_end|>");
  assert.deepEqual([ids[0], ids.at(-1)], [IM_START, IM_END]);
  assert.equal(ids.length, 4);
  assert.equal(tokenizer.decode(ids), "<|im_start|>hi!<|im_end|>");
  assert.equal(tokenizer.token(ids[1]), "hi");
  assert.equal(tokenizer.token(9999), "");
});

Deno.test("tokenizer: nothing in, nothing out", async () => {
  const tokenizer = await byteTokenizer();
  assert.deepEqual(tokenizer.encode(""), []);
  assert.equal(tokenizer.decode([]), "");
  assert.equal(tokenizer.decode(new Uint32Array()), "");
});

Deno.test("tokenizer: bytes without an entry vanish before merging", async () => {
  const tokenizer = await byteTokenizer(["a b", "- -"]);
  assert.deepEqual(tokenizer.encode("aéb"), tokenizer.encode("ab"));
  assert.deepEqual(tokenizer.encode("-\u0001-"), tokenizer.encode("--"));
  assert.equal(tokenizer.encode("--").length, 1);
});

Deno.test("tokenizer: special tokens and chat template come from whichever file has them", async () => {
  const tokenizer = await byteTokenizer([], { eos_token: "<|im_end|>", pad_token: null });
  assert.equal(tokenizer.eosToken, "<|im_end|>");
  assert.equal(tokenizer.eosTokenId, IM_END);
  assert.equal(tokenizer.padTokenId, null);

  const { "tokenizer.json": definition } = byteTokenizerFiles();
  const load = async (files: Record<string, string>) =>
    (await loadTokenizer(new MemoryDirectory({ "tokenizer.json": definition, ...files })))!;
  const mapped = await load({
    "special_tokens_map.json": JSON.stringify({ eos_token: { content: "<|endoftext|>" } }),
  });
  assert.equal(mapped.eosTokenId, END);
  assert.equal(mapped.bosTokenId, null);
  assert.equal(mapped.chatTemplate, null);
  const config = (chat_template: unknown) => ({
    "tokenizer_config.json": JSON.stringify({ chat_template }),
  });
  const named = [{ name: "tool_use", template: "T" }, { name: "default", template: "D" }];
  assert.equal((await load(config(named))).chatTemplate, "D");
  assert.equal((await load(config("S"))).chatTemplate, "S");
  assert.equal((await load({ ...config("S"), "chat_template.jinja": "J" })).chatTemplate, "J");
});

Deno.test("tokenizer: what goes in front of a text", async () => {
  const llama = { tokenizer_class: "LlamaTokenizer", add_bos_token: true };
  assert.deepEqual((await byteTokenizer([], llama)).prefixIds, [END]);
  assert.deepEqual((await byteTokenizer([], { ...llama, add_bos_token: false })).prefixIds, []);
  assert.deepEqual((await byteTokenizer([], { add_bos_token: true })).prefixIds, []);
  const files = byteTokenizerFiles();
  const definition = JSON.parse(files["tokenizer.json"]);
  definition.post_processor = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<|im_start|>", type_id: 0 } }, {
      Sequence: { id: "A", type_id: 0 },
    }],
    pair: [],
    special_tokens: { "<|im_start|>": { id: "<|im_start|>", ids: [1], tokens: ["<|im_start|>"] } },
  };
  const tokenizer = await loadTokenizer(
    new MemoryDirectory({ ...files, "tokenizer.json": JSON.stringify(definition) }),
  );
  assert.deepEqual(tokenizer!.prefixIds, [IM_START]);
  assert.deepEqual(tokenizer!.encode("a").length, 1, "encode itself adds nothing");
});

Deno.test("tokenizer: a directory without one, with another format, with a broken one", async () => {
  assert.equal(await loadTokenizer(new MemoryDirectory()), null);
  await assert.rejects(
    loadTokenizer(new MemoryDirectory({ "tokenizer.model": "" })),
    /expected tokenizer.json, found tokenizer.model only/,
  );
  for (
    const text of ["{}", '{"model":{}}', "[]", '{"model":{"type":"BPE"},"added_tokens":[]}', "{"]
  ) {
    await assert.rejects(
      loadTokenizer(new MemoryDirectory({ "tokenizer.json": text })),
      UserError,
      text,
    );
  }
});
