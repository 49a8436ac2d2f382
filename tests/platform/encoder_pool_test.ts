import assert from "node:assert/strict";
import { encodeExample } from "../../src/data/encode.ts";
import type { Example } from "../../src/data/examples.ts";
import { loadPairs } from "../../src/data/pairs.ts";
import { EncoderPool } from "../../src/platform/encoder_pool.ts";
import { openDirectory } from "../../src/platform/files.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";

const MODEL = "fixtures/model";
const options = { appendEos: true };
const text = (i: number): Example => ({
  kind: "text",
  prompt: `What is ${i}?`,
  completions: [`It is ${i}.`, ""],
});
const chat = (i: number): Example => ({
  kind: "messages",
  prompt: [{ role: "user", content: `What is ${i}?` }],
  completions: [[{ role: "assistant", content: `It is ${i}.` }]],
});

/** Lets a pool answer what it leaves to its caller. */
async function warmUp(pool: EncoderPool): Promise<void> {
  while (true) {
    if (await pool.encode([text(0)]) !== null) return;
    warmUpPortions++;
  }
}
let warmUpPortions = 0;

Deno.test("encoder pool: workers give what the caller would, after the first portions", async () => {
  using pool = new EncoderPool(2, MODEL, options);
  await warmUp(pool);
  assert.equal(warmUpPortions, 8);
  const tokenizer = await loadTokenizer(await openDirectory(MODEL));
  const portions = Array.from({ length: 7 }, (_, i) => [text(i), chat(i)]);
  const answers = await Promise.all(portions.map((portion) => pool.encode(portion)));
  for (const [i, portion] of portions.entries()) {
    assert.deepEqual(answers[i], portion.map((one) => encodeExample(one, tokenizer, options)));
  }
});

Deno.test("encoder pool: what a worker cannot encode is the caller's, and so is all after a worker broke", async () => {
  using pool = new EncoderPool(1, MODEL, options);
  await warmUp(pool);
  assert.equal(await pool.encode([text(1), { kind: "unknown" } as unknown as Example]), null);
  assert.equal((await pool.encode([text(1)]))?.length, 1);

  using broken = new EncoderPool(2, "no/such/model", options);
  for (let i = 0; i < 12; i++) assert.equal(await broken.encode([text(i)]), null);
});

Deno.test("encoder pool: a dataset has the same rows, counts and hash with 0, 1 and 3 workers", async () => {
  const rows = Array.from({ length: 4000 }, (_, i) => ({
    where: `row ${i}`,
    value: { prompt: `What is ${i}?`, chosen: i % 100 === 9 ? " " : `It is ${i}.`, rejected: "?" },
  }));
  const tokenizer = await loadTokenizer(await openDirectory(MODEL));
  const load = (encoder?: EncoderPool) =>
    loadPairs(rows, tokenizer, {
      ...options,
      encoder,
      maxLengthTokens: 16,
      truncation: "keep_start",
      score: "completion",
      vocabSize: 512,
    });
  const expected = await load();
  assert.equal(expected.counts.droppedEmptyCompletion, 40);
  assert.ok(expected.counts.truncatedRows > 0);
  for (const workers of [1, 3]) {
    using pool = new EncoderPool(workers, MODEL, options);
    assert.deepEqual(await load(pool), expected);
  }
});
