import assert from "node:assert/strict";
import { encodeExample } from "../../src/data/encode.ts";
import { encodeAhead, type Encoder } from "../../src/data/encoder.ts";
import { UserError } from "../../src/errors.ts";
import type { Example } from "../../src/data/examples.ts";
import { byteTokenizer } from "../text/byte_tokenizer.ts";

const COUNT = 2000;
const options = { appendEos: true };
const tokenizer = await byteTokenizer();
const example = (i: number): Example => ({
  kind: "text",
  prompt: `prompt ${i}`,
  completions: [`${i}`, "x".repeat(i % 7 + 1)],
});

async function* numbered(count = COUNT) {
  for (let i = 0; i < count; i++) yield { i, where: `row ${i}`, example: example(i) };
}

/** An encoder whose portions come back in the order that `answer` resolves them in. */
class Elsewhere implements Encoder {
  underWay = 0;
  mostUnderWay = 0;
  readonly #waiting: (() => void)[] = [];
  constructor(readonly portionsAhead: number, readonly refused: (portion: number) => boolean) {}
  #portion = 0;
  async encode(examples: readonly Example[]) {
    const portion = this.#portion++;
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
    // The last one asked is the first to come back, as soon as nothing else happens.
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      setTimeout(() => this.#waiting.pop()!());
    });
    this.underWay--;
    if (this.refused(portion)) return null;
    return examples.map((one) => encodeExample(one, tokenizer, options));
  }
}

for (const ahead of [1, 2, 5]) {
  Deno.test(`encodeAhead: the order of the rows, ${ahead} portions ahead, some of them refused`, async () => {
    const encoder = new Elsewhere(ahead, (portion) => portion % 3 === 1);
    let next = 0;
    for await (const { i, encoded } of encodeAhead(numbered(), encoder, tokenizer, options)) {
      assert.equal(i, next++);
      assert.deepEqual(encoded, encodeExample(example(i), tokenizer, options));
    }
    assert.equal(next, COUNT);
    assert.equal(encoder.mostUnderWay, ahead);
  });
}

Deno.test("encodeAhead: an error comes after the rows before it, whether of reading or of encoding", async () => {
  async function* failing() {
    yield* numbered(700);
    throw new RangeError("row 700");
  }
  const met: number[] = [];
  const reading = async () => {
    const encoder = new Elsewhere(4, () => false);
    for await (const { i } of encodeAhead(failing(), encoder, tokenizer, options)) met.push(i);
  };
  await assert.rejects(reading, /row 700/);
  assert.deepEqual(met, [...Array(700).keys()]);

  met.length = 0;
  const broken = { kind: "text", prompt: "", completions: null } as unknown as Example;
  async function* unencodable() {
    for await (const item of failing()) {
      yield item.i === 300 ? { ...item, example: broken } : item;
    }
  }
  const encoding = async () => {
    const encoder = new Elsewhere(4, () => true);
    for await (const { i } of encodeAhead(unencodable(), encoder, tokenizer, options)) met.push(i);
  };
  await assert.rejects(encoding, TypeError);
  assert.deepEqual(met, [...Array(300).keys()]);
});

Deno.test("encodeAhead: a row that the chat template refuses is named, with workers and without", async () => {
  const chatTemplate = "{% if messages | length > 1 %}{{ raise_exception('no') }}{% endif %}x";
  async function* refused() {
    const prompt = [{ role: "user", content: "q" }];
    const example: Example = { kind: "messages", prompt, completions: [prompt] };
    yield { where: "f.jsonl, line 7", example };
  }
  for (const encoder of [undefined, new Elsewhere(1, () => true)]) {
    const reading = Array.fromAsync(
      encodeAhead(refused(), encoder, { ...tokenizer, chatTemplate }, options),
    );
    await assert.rejects(reading, (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /Cannot apply the chat template .*: no \(f\.jsonl, line 7\)/);
      return true;
    });
  }
});

Deno.test("encodeAhead: stopping early stops the reading", async () => {
  let stopped = false;
  async function* endless() {
    try {
      for (let i = 0;; i++) yield { i, where: `row ${i}`, example: example(i) };
    } finally {
      stopped = true;
    }
  }
  const encoder = new Elsewhere(2, () => false);
  for await (const { i } of encodeAhead(endless(), encoder, tokenizer, options)) {
    if (i === 600) break;
  }
  assert.ok(stopped);
});
