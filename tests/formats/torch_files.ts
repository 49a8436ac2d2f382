/** Writes files as torch.save does, and such as it never would. */

/** A tensor of f32, as a view of a storage. */
export interface TorchTensor {
  shape: number[];
  strides?: number[];
  offset?: number;
  /** The entry `data/KEY` that it is a view of; tensors with the same key share it. */
  key: string;
}

/** An entry of a zip file, and what to write about it instead of the truth. */
export interface ZipEntry {
  name: string;
  bytes: Uint8Array;
  method?: number;
  size?: number;
  /** Size in the file; compressed entries have another one. */
  storedSize?: number;
  flags?: number;
  offset?: number;
}

const ascii = (text: string) => new TextEncoder().encode(text);
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u16 = (value: number) => new Uint8Array(Uint16Array.of(value).buffer);

/** Bytes one after another. */
export function join(...parts: (Uint8Array | string | number)[]): Uint8Array<ArrayBuffer> {
  const bytes = parts.map((part) =>
    typeof part === "string" ? ascii(part) : typeof part === "number" ? Uint8Array.of(part) : part
  );
  const result = new Uint8Array(bytes.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of bytes) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

const u64 = (value: number) => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
/** Stands where a number is in the extra field instead. */
const ELSEWHERE = 0xffffffff;

/**
 * A zip file of stored entries, each aligned to 64 bytes like torch's.
 *
 * @param zip64 Whether sizes and places are written in 64 bits, as in files beyond 4 GB.
 */
export function zip(entries: readonly ZipEntry[], zip64 = false): Uint8Array<ArrayBuffer> {
  let body: Uint8Array = new Uint8Array();
  let directory: Uint8Array = new Uint8Array();
  for (const { name, bytes, method = 0, flags = 0, offset, ...sizes } of entries) {
    const { size = bytes.length, storedSize = size } = sizes;
    const place = offset ?? body.length;
    const padding = new Uint8Array((64 - (body.length + 30 + name.length) % 64) % 64);
    const extra = zip64
      ? join(u16(1), u16(24), u64(size), u64(storedSize), u64(place))
      : new Uint8Array();
    const common = (extraLength: number, stored: number, whole: number) =>
      join(
        ...[u16(flags), u16(method), u32(0), u32(0), u32(stored), u32(whole)],
        ...[u16(name.length), u16(extraLength)],
      );
    const local = common(padding.length, storedSize, size);
    body = join(body, u32(0x04034b50), u16(20), local, name, padding, bytes);
    const central = zip64
      ? common(extra.length, ELSEWHERE, ELSEWHERE)
      : common(extra.length, storedSize, size);
    const rest = join(u16(0), u16(0), u16(0), u32(0), u32(zip64 ? ELSEWHERE : place));
    directory = join(directory, u32(0x02014b50), u16(20), u16(20), central, rest, name, extra);
  }
  const count = entries.length;
  const span = [directory.length, body.length];
  const end64 = join(
    ...[u32(0x06064b50), u64(44), u16(45), u16(45), u32(0), u32(0), u64(count), u64(count)],
    ...span.map(u64),
    ...[u32(0x07064b50), u32(0), u64(body.length + directory.length), u32(1)],
  );
  const spanIn32 = zip64 ? [ELSEWHERE, ELSEWHERE] : span;
  return join(
    ...[
      body,
      directory,
      zip64 ? end64 : "",
      u32(0x06054b50),
      u16(0),
      u16(0),
      u16(count),
      u16(count),
    ],
    ...spanIn32.map(u32),
    u16(0),
  );
}

/** Opcodes of a pickle, for short programs in tests. */
export const op = {
  proto: join(0x80, 2),
  stop: ".",
  mark: "(",
  text: (value: string) => join("X", u32(ascii(value).length), value),
  int: (value: number) => join("J", u32(value)),
  global: (module: string, name: string) => `c${module}\n${name}\n`,
  tuple: (...items: (Uint8Array | string)[]) => join("(", ...items, "t"),
  dict: (...items: (Uint8Array | string)[]) => join("}", "(", ...items, "u"),
  reduce: "R",
};

/** What a pickle says of a tensor. */
export function tensorCode(
  { shape, strides, offset = 0, key }: TorchTensor,
  storageElements: number,
  storage = "FloatStorage",
): Uint8Array {
  const rowMajor = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const numbers = (values: number[]) => op.tuple(...values.map(op.int));
  const id = [op.text("storage"), op.global("torch", storage), op.text(key), op.text("cpu")];
  return join(
    op.global("torch._utils", "_rebuild_tensor_v2"),
    op.tuple(
      join(op.tuple(...id, op.int(storageElements)), "Q"),
      ...[op.int(offset), numbers(shape), numbers(strides ?? rowMajor), Uint8Array.of(0x89)],
      join(op.global("collections", "OrderedDict"), ")", "R"),
    ),
    "R",
  );
}

/** A `.pth` file of f32 tensors, with what else to write into it. */
export function torchFile(
  tensors: Record<string, TorchTensor>,
  storages: Record<string, Float32Array>,
  { wrapper = null, entries = [] }: { wrapper?: string | null; entries?: ZipEntry[] } = {},
): Uint8Array<ArrayBuffer> {
  const dict = op.dict(
    ...Object.entries(tensors).flatMap(([name, tensor]) => [
      op.text(name),
      tensorCode(tensor, storages[tensor.key].length),
    ]),
  );
  const root = wrapper === null
    ? dict
    : op.dict(op.text("epoch"), op.int(3), op.text(wrapper), dict);
  return zip([
    { name: "archive/data.pkl", bytes: join(op.proto, root, ".") },
    { name: "archive/byteorder", bytes: ascii("little") },
    ...Object.entries(storages).map(([key, data]) => ({
      name: `archive/data/${key}`,
      bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
    { name: "archive/version", bytes: ascii("3\n") },
    ...entries,
  ]);
}
