import assert from "node:assert/strict";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { askPython, lackOfPython } from "../python.ts";
import { lackOfReference, REFERENCE, unless } from "../skip.ts";
import { hostileStrings } from "./hostile.ts";

const COUNT = 10_000;

interface Answer {
  version: string;
  answers: { ids: number[][]; texts: string[] }[];
}

const lack = await lackOfPython("tokenizers");

for (
  const [model, directory, lackOfModel] of [
    ["the shipped model", "fixtures/model", null],
    ["SmolLM", `${REFERENCE}tokenizer`, lackOfReference],
  ] as const
) {
  const name = `ids and texts of 10,000 hostile strings are those of Hugging Face's: ${model}`;
  Deno.test(unless(lack ?? lackOfModel, name), async () => {
    const strings = hostileStrings(COUNT);
    // The original takes no halves of characters; here they count as U+FFFD, as everywhere on the web.
    const texts = strings.map((text) => text.toWellFormed());
    assert.ok(strings.some((text, i) => text !== texts[i]));

    const { version, answers: [expected] } = await askPython<Answer>(
      new URL("tokenizers_peer.py", import.meta.url),
      {
        files: [`${directory}/tokenizer.json`],
        texts,
      },
    );
    console.log(`tokenizers ${version}`);
    const tokenizer = (await loadTokenizer(await openDirectory(directory)))!;
    assert.equal(expected.ids.length, COUNT);
    for (const [i, ids] of expected.ids.entries()) {
      assert.deepEqual(tokenizer.encode(strings[i]), ids, JSON.stringify(strings[i]));
      assert.equal(tokenizer.decode(ids), expected.texts[i]);
    }
  });
}
