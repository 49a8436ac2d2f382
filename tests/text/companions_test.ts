import assert from "node:assert/strict";
import { Random } from "../../fixtures/random.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { inTemporaryDirectory } from "../e2e/command.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { byteTokenizerFiles } from "./byte_tokenizer.ts";

const DIRECTORIES = Number(Deno.env.get("FUZZ_TOKENIZERS") ?? 120);
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 1);
const TEXTS = [
  "a<|im_end|> b",
  "x <tool> y<new>z <extra>",
  "<s>hi</s>",
  "<TOOL> hi  <tool>,<tools>",
  "ab <|endoftext|>  \n<new> <new>c",
];
const CONTENTS = ["<|im_end|>", "<|endoftext|>", "<tool>", "<new>", "<extra>", "ab", "</s>"];

type Json = Record<string, unknown>;

interface Answer {
  version: string;
  answers: ({ ids: number[][]; begin: number[]; special: number[] } | null)[];
}

/** The files of a tokenizer, of which each may name other tokens. */
function randomFiles(random: Random): Record<string, string> {
  const flag = () => random.below(2) === 0;
  const maybe = (make: () => Json): Json => flag() ? make() : {};
  const flags = (): Json => ({
    ...maybe(() => ({ single_word: flag() })),
    ...maybe(() => ({ lstrip: flag(), rstrip: flag() })),
    ...maybe(() => ({ normalized: flag() })),
  });
  const content = () => random.pick(CONTENTS);
  const described = (): Json => ({ content: content(), ...flags() });
  const list = () => Array.from({ length: random.below(3) }, content);

  const files = byteTokenizerFiles(["h i", "a b"]);
  const definition = JSON.parse(files["tokenizer.json"]);
  definition.added_tokens.length = random.below(4);
  if (flag()) definition.normalizer = { type: "Lowercase" };
  if (flag()) {
    definition.post_processor = {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|endoftext|>", type_id: 0 } }, {
        Sequence: { id: "A", type_id: 0 },
      }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: {
        "<|endoftext|>": { id: "<|endoftext|>", ids: [0], tokens: ["<|endoftext|>"] },
      },
    };
  }
  const kind = random.pick(["PreTrainedTokenizer", "Llama", "Qwen2", "GPTNeoX"]);
  const named = ["bos_token", "eos_token", "pad_token", "unk_token"];
  const config: Json = {
    tokenizer_class: kind === "PreTrainedTokenizer" ? `${kind}Fast` : `${kind}Tokenizer`,
    // Those of classes with tokens of their own say which they have.
    ...Object.fromEntries(named.map((name) => [name, "<|endoftext|>"])),
    ...maybe(() => ({ eos_token: content() })),
    ...maybe(() => ({ pad_token: { __type: "AddedToken", ...described() } })),
    ...maybe(() => ({ additional_special_tokens: list() })),
    ...maybe(() => ({ added_tokens_decoder: decoderOf(random, described) })),
    // Without it, some classes of transformers 4 decide by themselves; here tokenizer.json decides, as in 5.
    ...(/^(?:Llama|GPTNeoX)$/.test(kind) || flag() ? { add_bos_token: flag() } : {}),
  };
  const withAdded = flag();
  return {
    "tokenizer.json": JSON.stringify(definition),
    "tokenizer_config.json": JSON.stringify(config),
    ...(withAdded
      ? { "added_tokens.json": JSON.stringify({ [content()]: 101, [content()]: 102 }) }
      : {}),
    ...(flag()
      ? {
        "special_tokens_map.json": JSON.stringify({
          ...maybe(() => ({ eos_token: described() })),
          ...maybe(() => ({ bos_token: content() })),
          // With both, transformers takes one token for another.
          ...(withAdded ? {} : maybe(() => ({ additional_special_tokens: list() }))),
        }),
      }
      : {}),
  };
}

function decoderOf(random: Random, described: () => Json): Json {
  const contents = random.shuffled(CONTENTS).slice(0, 1 + random.below(3));
  return Object.fromEntries(contents.map((content) => [
    String(random.pick([1, 2, 40, 101, 102, 103])),
    { ...described(), content, special: random.below(2) === 0 },
  ]));
}

Deno.test(
  unless(
    await lackOfPython("transformers"),
    "tokens that other files add or describe, and begin tokens, are those of transformers",
  ),
  () =>
    inTemporaryDirectory(async (root) => {
      const random = new Random(SEED);
      const directories: string[] = [];
      for (let i = 0; i < DIRECTORIES; i++) {
        const directory = `${root}/${i}`;
        await Deno.mkdir(directory);
        for (const [name, text] of Object.entries(randomFiles(random))) {
          await Deno.writeTextFile(`${directory}/${name}`, text);
        }
        directories.push(directory);
      }
      const { answers } = await askPython<Answer>(
        new URL("companions_peer.py", import.meta.url),
        { directories, texts: TEXTS },
      );
      let compared = 0;
      for (const [i, directory] of directories.entries()) {
        const expected = answers[i];
        if (expected === null) continue;
        compared++;
        const tokenizer = (await loadTokenizer(await openDirectory(directory)))!;
        const ours = {
          ids: TEXTS.map((text) => tokenizer.encode(text)),
          begin: tokenizer.prefixIds,
          special: [...tokenizer.specialIds].sort((a, b) => a - b),
        };
        const files = [...Deno.readDirSync(directory)].filter(({ name }) =>
          name !== "tokenizer.json"
        )
          .map(({ name }) => `${name}: ${Deno.readTextFileSync(`${directory}/${name}`)}`);
        const { added_tokens, normalizer } = JSON.parse(
          Deno.readTextFileSync(`${directory}/tokenizer.json`),
        );
        files.push(`tokenizer.json: ${JSON.stringify({ normalizer, added_tokens })}`);
        assert.deepEqual(ours, expected, `directory ${i}: ${files.join("\n")}`);
      }
      assert.ok(compared > 0.8 * DIRECTORIES, `transformers reads only ${compared}`);
    }),
);
