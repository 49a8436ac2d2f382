import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import type { FileReader } from "../../src/formats/files.ts";
import { readFloat32 } from "../../src/formats/tensor_data.ts";
import { readTorchHeader } from "../../src/formats/torch.ts";
import { MemoryDirectory } from "./memory_directory.ts";
import { join, op, tensorCode, torchFile, zip } from "./torch_files.ts";

const open = (bytes: Uint8Array<ArrayBuffer>) =>
  new MemoryDirectory({ "f.pth": bytes }).open("f.pth");
const ramp = Float32Array.from({ length: 24 }, (_, i) => i);
const plain = { w: { shape: [4, 6], key: "0" } };
/** A file with this pickle and one storage of 24 elements. */
const withPickle = (...code: (Uint8Array | string)[]) =>
  zip([
    { name: "a/data.pkl", bytes: join(op.proto, ...code) },
    { name: "a/data/0", bytes: new Uint8Array(ramp.buffer) },
  ]);

async function values(bytes: Uint8Array<ArrayBuffer>): Promise<Record<string, readonly number[]>> {
  const file = await open(bytes);
  const { tensors } = await readTorchHeader(file);
  const read = [...tensors].map(async ([name, info]) =>
    [name, [...await readFloat32(file, name, info)]] as const
  );
  return Object.fromEntries(await Promise.all(read));
}

async function refuses(bytes: Uint8Array<ArrayBuffer>, message: RegExp): Promise<void> {
  const file = await open(bytes);
  const watched: FileReader = {
    ...file,
    read: (offset, length) => {
      assert.ok(offset >= 0 && offset + length <= bytes.length, "read beyond the file");
      return file.read(offset, length);
    },
  };
  await assert.rejects(readTorchHeader(watched), (error) => {
    assert.ok(error instanceof UserError, `${(error as Error).stack}`);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("torch: views of storages, with offsets and strides", async () => {
  const file = torchFile({
    whole: { shape: [4, 6], key: "0" },
    shared: { shape: [4, 6], key: "0" },
    transposed: { shape: [6, 4], strides: [1, 6], key: "0" },
    part: { shape: [2, 3], strides: [6, 1], offset: 7, key: "0" },
    rows: { shape: [2, 6], offset: 12, key: "0" },
    flipped: { shape: [2, 3, 4], strides: [1, 2, 6], key: "0" },
    column: { shape: [4, 1], strides: [6, 1], offset: 5, key: "0" },
    one: { shape: [], key: "1" },
    none: { shape: [0, 6], key: "1" },
  }, { 0: ramp, 1: Float32Array.of(-1.5) });
  assert.deepEqual(await values(file), {
    whole: [...ramp],
    shared: [...ramp],
    transposed: Array.from({ length: 24 }, (_, i) => i % 4 * 6 + (i >> 2)),
    part: [7, 8, 9, 13, 14, 15],
    rows: [...ramp.slice(12)],
    flipped: Array.from({ length: 24 }, (_, i) => (i / 12 | 0) + (i >> 2) % 3 * 2 + i % 4 * 6),
    column: [5, 11, 17, 23],
    one: [-1.5],
    none: [],
  });
});

const embedding = { "a.embed_tokens.weight": plain.w };

Deno.test("torch: the state_dict is the dictionary with an embedding, wherever it is", async () => {
  for (const wrapper of ["model", "state_dict", "model_state_dict", "module", "state", "net"]) {
    const file = await open(torchFile(embedding, { 0: ramp }, { wrapper }));
    assert.equal((await readTorchHeader(file)).wrapper, wrapper);
  }
  const w = tensorCode(plain.w, 24);
  const weights = op.dict(op.text("embed_tokens.weight"), w);
  const found = async (...code: (Uint8Array | string)[]) => {
    const { tensors, wrapper, others } = await readTorchHeader(
      await open(withPickle(...code, ".")),
    );
    return [[...tensors.keys()], wrapper, others];
  };
  const embedded = ["embed_tokens.weight"];
  assert.deepEqual(
    await found(op.dict(op.text("loss"), w, op.text("model"), weights, op.text("rng"), w)),
    [embedded, "model", []],
    "tensors beside the model",
  );
  assert.deepEqual(
    await found(op.dict(op.text("trainer"), op.dict(op.text("net"), weights))),
    [embedded, "trainer.net", []],
  );
  assert.deepEqual(
    await found(op.dict(op.text("ema"), weights, op.text("model"), weights)),
    [embedded, "model", []],
    "the usual name goes before others",
  );
  assert.deepEqual(
    await found(op.dict(op.text("embed_tokens.weight"), w, op.text("lr"), op.int(1))),
    [embedded, null, ["lr"]],
  );
  for (const key of ["embed_tokens._fsdp.weight", "m.layers.0._x.input_layernorm.weight"]) {
    assert.deepEqual(await found(op.dict(op.text(key), w)), [[key], null, []]);
  }
  // Of a model that is not known, the only dictionary with tensors
  assert.deepEqual(await found(op.dict(op.text("x"), op.dict(op.text("w"), w))), [["w"], "x", []]);
  await refuses(
    withPickle(op.dict(op.text("epoch"), op.int(1)), "."),
    /expected one state_dict, found none \(epoch\)/,
  );
  await refuses(withPickle("N", "."), /found none \(no dictionary\)/);
  await refuses(
    withPickle(op.dict(op.text("a"), weights, op.text("b"), weights), "."),
    /found several \(a, b\)/,
  );
  // A dictionary that is in itself comes to an end.
  const circle = join(
    "}",
    "q",
    0,
    "(",
    op.text("x"),
    "h",
    0,
    op.text("embed_tokens.weight"),
    w,
    "u",
  );
  assert.deepEqual(await found(circle), [embedded, null, ["x"]]);
});

Deno.test("torch: names that torch.load takes with weights_only are plain values", async () => {
  const w = tensorCode(plain.w, 24);
  const call = (module: string, name: string, ...args: (Uint8Array | string)[]) =>
    join(op.global(module, name), op.tuple(...args), "R");
  const number = call("numpy", "dtype", op.text("f8"));
  const values = [
    op.global("torch", "float32"),
    call("torch", "device", op.text("cpu")),
    call("__builtin__", "set", op.tuple(op.int(1))),
    join(
      call("collections", "defaultdict", op.global("__builtin__", "list")),
      "(",
      op.int(1),
      op.int(2),
      "u",
    ),
    call("collections", "Counter", op.dict(op.int(1), op.int(2))),
    join(number, op.tuple(op.int(3)), "b"),
    call("numpy.core.multiarray", "scalar", number, call("_codecs", "encode", op.text("x"))),
    join("(", op.int(1), 0x91),
    join(0x8f, "(", op.int(1), 0x90),
  ];
  for (const [i, value] of values.entries()) {
    const code = op.dict(op.text("config"), value, op.text("embed_tokens.weight"), w);
    const { tensors } = await readTorchHeader(await open(withPickle(code, ".")));
    assert.deepEqual([...tensors.keys()], ["embed_tokens.weight"], `${i}`);
  }
  // Parameters with attributes, and tensors of a type of their own
  const stated = call("torch._utils", "_rebuild_parameter_with_state", w, op.int(1), "}", "}");
  const code = op.dict(op.text("embed_tokens.weight"), stated);
  assert.equal((await readTorchHeader(await open(withPickle(code, ".")))).tensors.size, 1);
});

Deno.test("torch: a pickle that calls or imports anything else is refused by the name of it", async () => {
  const call = (module: string, name: string) =>
    join(op.global(module, name), op.tuple(op.text("echo")), "R");
  for (
    const [module, name] of [
      ["posix", "system"],
      ["builtins", "eval"],
      ["torch", "load"],
      ["torch._utils", "_rebuild_tensor_v2.__globals__"],
      ["numpy.core.multiarray", "_reconstruct"],
      ["argparse", "Namespace"],
    ]
  ) {
    const message = new RegExp(`uses ${module}\\.${name}: a pickle that does can run any program`);
    await refuses(withPickle(call(module, name), "."), message);
    // Hidden among weights, in an argument of an allowed call, after which nothing is valid any more.
    const hidden = op.dict(op.text("w"), tensorCode(plain.w, 24), op.text("x"), call(module, name));
    await refuses(withPickle(hidden, "garbage"), message);
  }
  const byStack = join(op.text("os"), op.text("system"), 0x93, ")", "R", ".");
  await refuses(withPickle(byStack), /uses os\.system/);
});

Deno.test("torch: pickles that are cut off or malformed", async () => {
  const whole = join(op.proto, op.dict(op.text("w"), tensorCode(plain.w, 24)), ".");
  for (let length = 0; length < whole.length; length++) {
    await refuses(
      zip([{ name: "a/data.pkl", bytes: whole.slice(0, length) }]),
      /expected .* found .*damaged, or not a state_dict/,
    );
  }
  for (
    const [code, message] of [
      [["R", "."], /a value, found none/],
      [["t", "."], /a mark, found none/],
      [["(", "."], /a value, found none/],
      [["h\x05", "."], /remembered value 5/],
      [["N", "N", "R", "."], /a call of a name with a tuple/],
      [["N", "(", "N", "N", "u", "."], /keys and values for a dictionary/],
      [["}", "(", "N", "u", "."], /keys and values for a dictionary/],
      [["N", "N", "a", "."], /a list/],
      [["N", "}", "b", "."], /a dictionary/],
      [["S'text'\n", "."], /an opcode of torch\.save at byte 2, found 0x53/],
      [[join("X", Uint8Array.of(255, 255, 255, 255)), "."], /4294967295 bytes at byte 7/],
      [["cposix"], /bytes at byte/],
    ] as [string[], RegExp][]
  ) {
    await refuses(withPickle(...code), message);
  }
});

Deno.test("torch: tensors that lie about their storage", async () => {
  const refusesTensor = async (tensor: Uint8Array, message: RegExp) =>
    await refuses(withPickle(op.dict(op.text("w"), tensor), "."), message);
  const tensor = (change: object, elements = 24, storage?: string) =>
    tensorCode({ ...plain.w, ...change }, elements, storage);
  await refusesTensor(
    tensor({ shape: [5, 5] }),
    /"w".*shape \(5, 5\).*within its storage, found 24/,
  );
  await refusesTensor(tensor({ offset: 1 }), /from 1 on within its storage/);
  await refusesTensor(tensor({ strides: [7, 1] }), /strides \(7, 1\)/);
  await refusesTensor(tensor({ strides: [0, 0] }), /strides \(0, 0\)/);
  await refusesTensor(tensor({ shape: [1 << 30, 1 << 30], strides: [0, 0] }), /within its storage/);
  await refusesTensor(tensor({ strides: [1] }), /offset, shape and strides in whole numbers/);
  await refusesTensor(tensor({ offset: -1 }), /offset, shape and strides in whole numbers/);
  await refusesTensor(tensor({ shape: [-4, 6] }), /offset, shape and strides in whole numbers/);
  await refusesTensor(tensor({}, 25), /expected 25 elements of its storage, found 96 bytes/);
  await refusesTensor(
    tensor({}, 24, "DoubleStorage"),
    /24 elements of its storage, found 96 bytes/,
  );
  await refusesTensor(tensor({ key: "1" }), /expected an entry a\/data\/1, found none/);
  await refusesTensor(tensor({ key: "../data/0" }), /expected an entry/);
  await refusesTensor(tensor({}, 24, "ComplexDoubleStorage"), /uses torch\.ComplexDoubleStorage/);
});

Deno.test("torch: zip files that are cut off, compressed, overlapping or too large", async () => {
  const whole = torchFile(plain, { 0: ramp });
  for (const length of [4, 30, 100, whole.length - 200, whole.length - 30, whole.length - 1]) {
    await refuses(
      whole.slice(0, length),
      /f\.pth as zip: expected .* found .*damaged or incomplete/,
    );
  }
  const bytes = new Uint8Array(40);
  const zipped = (change: object) =>
    zip([{ name: "a/data.pkl", bytes, ...change }, { name: "a/data/0", bytes }]);
  await refuses(
    zipped({ method: 8 }),
    /entries stored as they are, found "a\/data\.pkl" compressed/,
  );
  await refuses(zipped({ method: 8, size: 2 ** 31, storedSize: 40 }), /compressed or encrypted/);
  await refuses(zipped({ size: 2 ** 31, storedSize: 40 }), /compressed or encrypted/);
  await refuses(
    zipped({ size: 2 ** 31 }),
    /"a\/data\.pkl" to end before byte \d+, found 2147483648/,
  );
  await refuses(zipped({ size: 41 }), /"a\/data\/0" between its neighbours/);
  await refuses(zipped({ flags: 1 }), /compressed or encrypted/);
  await refuses(zipped({ offset: 1 }), /the header of "a\/data\.pkl" at byte 1/);
  await refuses(zipped({ offset: 2 ** 31 }), /"a\/data\.pkl" between its neighbours/);
  const long = { ...{ name: "a/data.pkl", bytes } };
  await refuses(zip([long, long]), /every entry once, found "a\/data\.pkl" twice/);
  await refuses(
    zip([{ name: "a/x", bytes }, { name: "a/data.pkl", bytes, offset: 0 }]),
    /between its neighbours/,
  );
  await refuses(zip([{ name: "data.pkl", bytes }]), /expected one data\.pkl, found 0/);
  await refuses(
    zip([long, { name: "b/data.pkl", bytes }]),
    /expected one data\.pkl, found 2/,
  );
  const big = { name: "archive/byteorder", bytes: new TextEncoder().encode("big") };
  const entries = torchFile(plain, { 0: ramp }, { entries: [big] });
  await refuses(entries, /every entry once/);
  await refuses(
    zip([{ name: "a/data.pkl", bytes }, { ...big, name: "a/byteorder" }]),
    /least significant byte first, found big/,
  );
});

Deno.test("torch: zip files with 64-bit places", async () => {
  const entries = [
    {
      name: "a/data.pkl",
      bytes: join(op.proto, op.dict(op.text("w"), tensorCode(plain.w, 24)), "."),
    },
    { name: "a/data/0", bytes: new Uint8Array(ramp.buffer) },
  ];
  assert.deepEqual(await values(zip(entries, true)), { w: [...ramp] });
  const far = (entry: number, change: object) =>
    zip(entries.map((real, i) => i === entry ? { ...real, ...change } : real), true);
  await refuses(far(0, { offset: 2 ** 52 }), /"a\/data\.pkl" between its neighbours/);
  await refuses(far(1, { size: 2 ** 52 }), /"a\/data\/0" to end before/);
  const whole = zip(entries, true);
  const record = whole.length - 22 - 20 - 8;
  for (const place of [0n, 2n ** 63n]) {
    const changed = whole.slice();
    new DataView(changed.buffer).setBigUint64(record, place, true);
    await refuses(changed, /the list of entries before byte|entry 0 of the list/);
    new DataView(changed.buffer).setBigUint64(whole.length - 22 - 12, place, true);
    await refuses(changed, /a zip64 record|the zip64 record within the file/);
  }
});

Deno.test("torch: files before PyTorch 1.6 and other files are told apart", async () => {
  await refuses(
    join(op.proto, "\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."),
    /a bare pickle, as PyTorch wrote before 1\.6/,
  );
  await refuses(new Uint8Array(), /expected a zip file of torch\.save, found something else/);
  await refuses(join("GGUF"), /expected a zip file of torch\.save, found something else/);
});
