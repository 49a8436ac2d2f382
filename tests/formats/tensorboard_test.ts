import assert from "node:assert/strict";
import {
  crc32c,
  scalarsRecord,
  textsRecord,
  versionRecord,
} from "../../src/formats/tensorboard.ts";

Deno.test("tensorboard: checksums are Castagnoli's", () => {
  // RFC 3720, B.4.
  assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
});

Deno.test("tensorboard: records are as long as they say", () => {
  const records = [
    versionRecord(1),
    scalarsRecord(2.5, 300, { loss: 0.5, "a/b": -1 }),
    textsRecord(2.5, 300, "samples", [["a", ""], ["é", "x".repeat(300)]]),
  ];
  for (const record of records) {
    const length = new DataView(record.buffer).getBigUint64(0, true);
    assert.equal(record.length, 8 + 4 + Number(length) + 4);
  }
});
