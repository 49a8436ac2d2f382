import assert from "node:assert/strict";
import { TextStream } from "../../src/text/text_stream.ts";

/** Every byte of UTF-8 is a token. */
const bytes = {
  decode: (ids: ArrayLike<number>) => new TextDecoder().decode(Uint8Array.from(ids)),
};

function pieces(tokens: Iterable<number>): string[] {
  const stream = new TextStream(bytes);
  const result = Array.from(tokens, (token) => stream.push(token));
  return [...result, stream.end()];
}

Deno.test("characters come out whole, with their last token", () => {
  const text = "né 🐙!";
  assert.deepEqual(
    pieces(new TextEncoder().encode(text)),
    ["n", "", "é", " ", "", "", "", "🐙", "!", ""],
  );
});

Deno.test("bytes that are no UTF-8 come out as in one go", () => {
  const broken = [0x91, 0xc3, 0x20, 0x6f, 0xf0, 0x9f, 0x41, 0xe2, 0x82];
  const found = pieces(broken);
  assert.equal(found.join(""), bytes.decode(broken));
  assert.equal(found.at(-1), "\ufffd"); // the character that never ended
});

Deno.test("a decoder that drops the first space of a text keeps the others", () => {
  const words = ["▁one", "▁two", "▁three"];
  const stream = new TextStream({
    decode: (ids) => Array.from(ids, (id) => words[id]).join("").replaceAll("▁", " ").slice(1),
  });
  assert.deepEqual([stream.push(0), stream.push(1), stream.push(2)], ["one", " two", " three"]);
});
