import assert from "node:assert/strict";
import { Random } from "../../fixtures/random.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { hostileStrings } from "./hostile.ts";
import { randomTokenizer } from "./random_tokenizers.ts";

const TOKENIZERS = Number(Deno.env.get("FUZZ_TOKENIZERS") ?? 200);
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 1);
const TEXTS = 60;

interface Answer {
  version: string;
  answers: ({ ids: number[][]; texts: string[] } | null)[];
}

Deno.test(
  unless(
    await lackOfPython("tokenizers"),
    "ids and texts of tokenizers put together by chance are those of Hugging Face's",
  ),
  async () => {
    const random = new Random(SEED);
    const definitions = Array.from({ length: TOKENIZERS }, () => randomTokenizer(random));
    const texts = [
      ...hostileStrings(TEXTS),
      "I'ſ rocK 'S \u212a",
      "ΟΔΟΣ ΣΑΣ",
      "e\u0301ﬁ 日本 日\r\n½ß がか゛",
    ].map((text) => text.toWellFormed());
    const { answers } = await askPython<Answer>(
      new URL("tokenizers_peer.py", import.meta.url),
      { definitions, texts },
    );
    let compared = 0;
    for (const [i, definition] of definitions.entries()) {
      const expected = answers[i];
      if (expected === null) continue;
      const file = JSON.stringify(definition);
      const { model, ...rest } = definition;
      const where = `tokenizer ${i}: ${JSON.stringify(rest)}, ${
        JSON.stringify(model).slice(0, 200)
      }`;
      const tokenizer = await loadTokenizer(new MemoryDirectory({ "tokenizer.json": file }))
        .catch((error) => {
          // The original takes either, another one each time.

          assert.match(String(error), /to leave added tokens different/, where);
          return null;
        });
      if (tokenizer === null) continue;
      compared++;
      for (const [j, text] of texts.entries()) {
        const what = `${where}, ${JSON.stringify(text)}`;
        assert.deepEqual(tokenizer.encode(text), expected.ids[j], what);
        assert.equal(tokenizer.decode(expected.ids[j]), expected.texts[j], what);
      }
    }
    assert.ok(compared > 0.8 * TOKENIZERS, `only ${compared} of ${TOKENIZERS} are tokenizers`);
  },
);
