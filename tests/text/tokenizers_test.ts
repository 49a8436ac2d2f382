import assert from "node:assert/strict";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { askPython } from "../python.ts";
import { lackOfReference, REFERENCE, skip } from "../skip.ts";
import { hostileStrings } from "./hostile.ts";

const SMOLLM = `${REFERENCE}tokenizer`;
const SHIPPED = "fixtures/model";
const COUNT = 10_000;

interface Answer {
  version: string;
  answers: { ids: number[][]; texts: string[] }[];
}

Deno.test("ids and texts are those of Hugging Face's tokenizers on 10,000 hostile strings", async (test) => {
  const strings = hostileStrings(COUNT);
  // The original takes no halves of characters; here they count as U+FFFD, as everywhere on the web.
  const texts = strings.map((text) => text.toWellFormed());
  assert.ok(strings.some((text, i) => text !== texts[i]));

  const directories = lackOfReference === null ? [SHIPPED, SMOLLM] : [SHIPPED];
  const files = directories.map((directory) => `${directory}/tokenizer.json`);
  const answer = await askPython<Answer>(new URL("tokenizers_peer.py", import.meta.url), {
    files,
    texts,
  });
  if (typeof answer === "string") return await skip(test, answer);
  for (const [i, directory] of directories.entries()) {
    await test.step(`${directory}, tokenizers ${answer.version}`, async () => {
      const tokenizer = (await loadTokenizer(await openDirectory(directory)))!;
      for (const [j, expected] of answer.answers[i].ids.entries()) {
        assert.deepEqual(tokenizer.encode(strings[j]), expected, JSON.stringify(strings[j]));
        assert.equal(tokenizer.decode(expected), answer.answers[i].texts[j]);
      }
    });
  }
  if (lackOfReference !== null) await skip(test, lackOfReference);
});
