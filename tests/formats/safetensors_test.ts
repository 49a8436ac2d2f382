import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { readSafetensorsHeader, serializeSafetensors } from "../../src/formats/safetensors.ts";
import { readFloat32, type SavedDtype } from "../../src/formats/tensor_data.ts";
import { collect, MemoryDirectory } from "./memory_directory.ts";

/** A safetensors file with this header, spelled out, and `dataBytes` bytes of data. */
function file(
  header: string | Uint8Array,
  dataBytes: number,
  length?: bigint,
): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const open = (bytes: Uint8Array<ArrayBuffer>) => new MemoryDirectory({ f: bytes }).open("f");
const header = async (bytes: Uint8Array<ArrayBuffer>) => readSafetensorsHeader(await open(bytes));

Deno.test("safetensors: a shared tensor that is stored once has its other names too", async () => {
  const entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  const metadata = '{"format":"pt","b":"a","a":"a","c":"none"}';
  const tensors = await header(file(`{"__metadata__":${metadata},"a":${entry}}`, 4));
  assert.deepEqual([...tensors.keys()], ["a", "b"]);
  assert.deepEqual(tensors.get("b"), tensors.get("a"));
});

Deno.test("safetensors: what is written is read back, in every dtype", async () => {
  // Exact in bfloat16, so in f16 and f32 too.
  const values = Float32Array.of(0, -0, 1, -1.5, 2 ** -14, 240, -65280 / 2);
  const tensors = [
    { name: "b", shape: [7], data: values },
    { name: "a", shape: [2, 3], data: () => Promise.resolve(values.subarray(0, 6)) },
    { name: "scalar", shape: [], data: values.subarray(3, 4) },
    { name: "empty", shape: [0, 5], data: new Float32Array() },
    { name: "__proto__", shape: [1], data: values.subarray(5, 6) },
  ];
  for (const dtype of ["F32", "F16", "BF16"] as SavedDtype[]) {
    const bytes = await collect(serializeSafetensors(tensors, dtype));
    const reader = await open(bytes);
    const infos = await readSafetensorsHeader(reader);
    assert.deepEqual([...infos.keys()].sort(), ["__proto__", "a", "b", "empty", "scalar"]);
    for (const { name, shape, data } of tensors) {
      const info = infos.get(name)!;
      assert.deepEqual(info.shape, shape);
      assert.equal(info.dtype, dtype);
      const expected = typeof data === "function" ? await data() : data;
      assert.deepEqual([...await readFloat32(reader, name, info)], [...expected], name);
    }
  }
});

Deno.test("safetensors: the file is the same for any order of tensors, aligned, and marked for PyTorch", async () => {
  const a = { name: "a", shape: [1], data: Float32Array.of(1) };
  const b = { name: "b", shape: [2], data: Float32Array.of(2, 3) };
  const bytes = await collect(serializeSafetensors([b, a]));
  assert.deepEqual(bytes, await collect(serializeSafetensors([a, b])));
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  assert.equal(length % 8, 0);
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  assert.deepEqual(JSON.parse(text), {
    __metadata__: { format: "pt" },
    a: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
    b: { dtype: "F32", shape: [2], data_offsets: [4, 12] },
  });
});

Deno.test("safetensors: narrowing rounds to nearest, ties to even", async () => {
  const saved = async (value: number, dtype: SavedDtype) => {
    const tensor = { name: "x", shape: [1], data: Float32Array.of(value) };
    const reader = await open(await collect(serializeSafetensors([tensor], dtype)));
    return (await readFloat32(reader, "x", (await readSafetensorsHeader(reader)).get("x")!))[0];
  };
  assert.equal(await saved(1 + 2 ** -8, "BF16"), 1);
  assert.equal(await saved(1 + 3 * 2 ** -8, "BF16"), 1 + 2 ** -6);
  assert.equal(await saved(1 + 2 ** -8 + 2 ** -20, "BF16"), 1 + 2 ** -7);
  assert.equal(await saved(-(1 + 2 ** -8 + 2 ** -20), "BF16"), -(1 + 2 ** -7));
  assert.equal(await saved(1 + 2 ** -11, "F16"), 1);
  assert.equal(await saved(1 + 3 * 2 ** -11, "F16"), 1 + 2 ** -9);
});

Deno.test("safetensors: values that are not finite are neither written nor read", async () => {
  const bits = (word: number) => new Float32Array(Uint32Array.of(word).buffer);
  const write = (data: Float32Array, dtype: SavedDtype) =>
    collect(serializeSafetensors([{ name: "w", shape: [1], data }], dtype));
  for (const dtype of ["F32", "F16", "BF16"] as SavedDtype[]) {
    for (const data of [bits(0x7fffffff), bits(0xff800000), Float32Array.of(NaN)]) {
      await assert.rejects(write(data, dtype), /Cannot save "w".*expected finite values/);
    }
  }
  await assert.rejects(
    write(Float32Array.of(65520), "F16"),
    /found 65520.*use another --save-dtype/,
  );
  await assert.rejects(write(bits(0x7f7fffff), "BF16"), UserError);

  for (const [dtype, size] of [["F32", 4], ["F16", 2], ["BF16", 2]] as const) {
    const bytes = file(
      `{"w":{"dtype":"${dtype}","shape":[2],"data_offsets":[0,${2 * size}]}}`,
      2 * size,
    );
    bytes.set([0xff, 0x7f], bytes.length - 2);
    const reader = await open(bytes);
    const info = (await readSafetensorsHeader(reader)).get("w")!;
    await assert.rejects(
      readFloat32(reader, "w", info),
      /Cannot load "w".*finite weights, found NaN at element 1/,
    );
  }
});

Deno.test("safetensors: data must fit its shape, names must differ", async () => {
  const x = { name: "x", shape: [3], data: new Float32Array(2) };
  await assert.rejects(collect(serializeSafetensors([x])), /"x": expected 3 values, found 2/);
  await assert.rejects(collect(serializeSafetensors([x, x])), /"x": it is given twice/);
});

Deno.test("safetensors: other dtypes are described but not loaded", async () => {
  const reader = await open(file('{"d":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}', 8));
  const infos = await readSafetensorsHeader(reader);
  assert.equal(infos.get("d")!.dtype, "I64");
  await assert.rejects(
    readFloat32(reader, "d", infos.get("d")!),
    /Cannot load "d" from memory\/f: expected F32, F16, BF16, F64, found I64/,
  );
});

Deno.test("safetensors: odd but valid headers", async () => {
  assert.equal((await header(file("{}", 0))).size, 0);
  assert.equal((await header(file('  {"__metadata__":{"a":"b"}}  ', 0))).size, 0);
  const extra = '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"more":0.5}}';
  assert.deepEqual((await header(file(extra, 2))).get("a"), {
    dtype: "U8",
    shape: [2],
    begin: 8 + extra.length,
    end: 10 + extra.length,
  });
  const zero = '{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
    '"a":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},"c":{"dtype":"F4","shape":[3,2],"data_offsets":[4,7]}}';
  assert.equal((await header(file(zero, 7))).size, 3);
});

Deno.test("safetensors: every broken file is refused with its reason", async () => {
  const entry = (fields: string) => `{"t":{${fields}}}`;
  const good = '"dtype":"F32","shape":[1],"data_offsets":[0,4]';
  const cases: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [new Uint8Array(7), /at least 8 bytes, found 7/],
    [file("{}", 0, 100_000_001n), /at most 100 MB, found 100000001 bytes/],
    [file("{}", 0, 2n ** 64n - 1n), /at most 100 MB/],
    [file("{}", 0, 3n), /header of 3 bytes, found a file of 10 bytes/],
    [file("", 0), /header in JSON/],
    [file("{", 0), /header in JSON/],
    [file("[]", 0), /JSON object, found a list/],
    [file(Uint8Array.of(0x7b, 0xff, 0x7d), 0), /header in JSON/],
    [file("\ufeff{}", 0), /header in JSON/],
    [file('{"__metadata__":{"a":1}}', 0), /"__metadata__"/],
    [file('{"__metadata__":[]}', 0), /"__metadata__"/],
    [file('{"t":1}', 0), /"t" to be an object, found 1/],
    [file(entry('"shape":[1],"data_offsets":[0,4]'), 4), /known dtype of "t", found nothing/],
    [file(entry(good.replace("F32", "F33")), 4), /known dtype of "t", found "F33"/],
    [file(entry(good.replace("[1]", "[1.0]")), 4), /shape of "t" in whole numbers/],
    [file(entry(good.replace("[1]", "[-1]")), 4), /shape of "t"/],
    [file(entry(good.replace("[1]", "[1e0]")), 4), /shape of "t"/],
    [file(entry(good.replace("[1]", "1")), 4), /shape of "t"/],
    [file(entry('"dtype":"F32","shape":[1]'), 4), /data_offsets of "t".*nothing/],
    [file(entry(good.replace("[0,4]", "[0,4,4]")), 4), /data_offsets of "t"/],
    [file(entry(good.replace("[0,4]", "[-0,4]")), 4), /data_offsets of "t"/],
    [file(entry(good.replace("[0,4]", "[4,0]")), 4), /4 bytes for "t".*found -4/],
    [file(entry(good.replace("[0,4]", "[0,5]")), 5), /4 bytes for "t" \(F32 \(1\)\), found 5/],
    [file(entry(good.replace("[0,4]", "[1,5]")), 5), /"t" to begin at byte/],
    [file(entry(good.replace("[1]", "[4294967296,4294967296]")), 4), /whole bytes below 2\^53/],
    [file(entry('"dtype":"F4","shape":[3],"data_offsets":[0,1]'), 1), /whole bytes/],
    [file(entry(good), 3), /bytes as the header says, found/],
    [file(entry(good), 5), /bytes as the header says, found/],
    [file(`{"t":{${good}},"t":{${good}}}`, 4), /found "t" twice/],
    [file(`{"t":{${good}},"u":{${good}}}`, 4), /to begin at byte/],
    [file(`{"t":{${good},"dtype":"F32"}}`, 4), /found "dtype" twice/],
    [file(`{"a\\u0000":{${good}}}`, 4), /names without NUL/],
    [
      file(`{"t":{${good}},"u":{${good.replace("[0,4]", "[8,12]")}}}`, 12),
      /"u" to begin at byte \d+, found/,
    ],
  ];
  for (const [bytes, message] of cases) {
    await assert.rejects(header(bytes), (error) => {
      assert.ok(error instanceof UserError, `${error}`);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("safetensors: a file cut at any byte is refused", async () => {
  const tensor = { name: "x", shape: [2], data: Float32Array.of(1, 2) };
  const whole = await collect(serializeSafetensors([tensor]));
  for (let length = 0; length < whole.length; length++) {
    await assert.rejects(header(whole.slice(0, length)), UserError);
  }
  await header(whole);
});
