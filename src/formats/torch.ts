// This module is browser compatible.

/**
 * Reading the files of `torch.save`: a zip file with a pickle that describes tensors, and an entry for each storage that
 * tensors are views of. What comes out are places in the file, as of a safetensors file.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { FileReader } from "./files.ts";
import { describe } from "./json.ts";
import {
  PickleCall,
  PickleGlobal,
  PickleReference,
  type PickleValue,
  readPickle,
} from "./pickle.ts";
import { BITS, formatShape, type TensorInfo } from "./tensor_data.ts";
import { isZip, readZipEntries, type ZipSpan } from "./zip.ts";

/** Data types by the storages' names in Python. */
const STORAGES: ReadonlyMap<string, string> = new Map(Object.entries({
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.DoubleStorage": "F64",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
  "torch.ComplexFloatStorage": "C64",
}));
const TENSOR = "torch._utils._rebuild_tensor_v2", OLD_TENSOR = "torch._utils._rebuild_tensor";
const PARAMETERS = [
  "torch._utils._rebuild_parameter",
  "torch._utils._rebuild_parameter_with_state",
];
const TYPED = "torch._tensor._rebuild_from_type_v2", SIZE = "torch.Size";
/** Numbers' types that PyTorch names in configurations. */
const DTYPES = [
  ...["float32", "float", "float64", "double", "float16", "half", "bfloat16", "bool", "uint8"],
  ...["int8", "int16", "short", "int32", "int", "int64", "long", "complex64", "complex128"],
  ...["float8_e4m3fn", "float8_e5m2"],
];
/**
 * Names whose use makes plain values: those that `torch.load` takes under `weights_only=True`, and numpy's numbers. They are
 * not called here either.
 */
const ALLOWED: ReadonlySet<string> = new Set([
  ...[TENSOR, OLD_TENSOR, ...PARAMETERS, TYPED, SIZE, ...STORAGES.keys()],
  ...DTYPES.map((dtype) => `torch.${dtype}`),
  ...["torch.device", "torch.Tensor", "torch.nn.parameter.Parameter", "_codecs.encode"],
  ...["torch.serialization._get_layout", "builtins.bytearray"],
  ...["collections.OrderedDict", "collections.defaultdict", "collections.Counter"],
  ...["set", "frozenset", "list", "dict", "int", "float", "str", "bool"].flatMap((type) => [
    `builtins.${type}`,
    `__builtin__.${type}`,
  ]),
  ...["numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"],
]);

/** What training programs call the weights among the other things that they save; the first that is there is taken. */
const WRAPPERS = [
  "state_dict",
  "model_state_dict",
  "model",
  "module",
  "state",
  "policy",
  "weights",
];
/** Tensors that a model has, and so has a shard of one, whatever stands around and within their names. */
const OF_MODEL = /(?:^|\.)(?:embed_tokens|layers\.\d+)\.(?:\w+\.)*weight$/;
/** A pickle describes a tensor in about 200 bytes. */
const MAX_PICKLE_BYTES = 100_000_000;
/** Of pickles; files of PyTorch before 1.6 are such. */
const PROTOCOL_OPCODE = 0x80;

/** The tensors of a file of `torch.save`. */
export interface TorchFile {
  tensors: Map<string, TensorInfo>;
  /** The keys that they were found under, joined by dots, or null where the file holds nothing else. */
  wrapper: string | null;
  /** Names of what stands among the tensors and is none. */
  others: string[];
}

/**
 * Reads what tensors a PyTorch file holds and where. Nothing that the file says is executed, and every tensor was
 * checked to lie within the file.
 *
 * @throws {UserError} If the file is damaged, is of PyTorch's format before 1.6, has no state_dict, or calls anything.
 */
export async function readTorchHeader(file: FileReader): Promise<TorchFile> {
  if (!await isZip(file)) throw await notZip(file);
  const entries = await readZipEntries(file);
  const archive = await Archive.open(file, entries);
  const bytes = await archive.read("data.pkl", MAX_PICKLE_BYTES);
  const { tensors, ...rest } = findStateDict(readPickle(bytes, file.name, ALLOWED), file.name);
  return {
    ...rest,
    tensors: new Map(tensors.map(([name, call]) => [name, tensorInfo(name, call, archive)])),
  };
}

async function notZip(file: FileReader): Promise<UserError> {
  const [first] = file.size > 0 ? await file.read(0, 1) : [0];
  const found = first === PROTOCOL_OPCODE
    ? "a bare pickle, as PyTorch wrote before 1.6; open it with torch.load, and save it again"
    : "something else; the file is damaged, or no PyTorch file";
  return new UserError(
    `Cannot read ${file.name}: expected a zip file of torch.save, found ${found}`,
  );
}

/** The entries of a file, without the folder that all of them are in. */
class Archive {
  private constructor(
    readonly file: FileReader,
    readonly entries: ReadonlyMap<string, ZipSpan>,
    readonly folder: string,
  ) {}

  static async open(file: FileReader, entries: ReadonlyMap<string, ZipSpan>): Promise<Archive> {
    const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
    if (pickles.length !== 1) {
      throw new UserError(
        `Cannot read ${file.name}: expected one data.pkl, found ${pickles.length}; the file is no PyTorch file`,
      );
    }
    const archive = new Archive(file, entries, pickles[0].slice(0, -"data.pkl".length));
    const order = archive.has("byteorder")
      ? new TextDecoder().decode(await archive.read("byteorder", 16))
      : "little";
    if (order !== "little") {
      throw new UserError(
        `Cannot read ${file.name}: expected numbers with the least significant byte first, found ${order}`,
      );
    }
    return archive;
  }

  has(name: string): boolean {
    return this.entries.has(this.folder + name);
  }

  span(name: string): ZipSpan {
    const span = this.entries.get(this.folder + name);
    if (span === undefined) {
      throw new UserError(
        `Cannot read ${this.file.name}: expected an entry ${this.folder}${name}, found none`,
      );
    }
    return span;
  }

  read(name: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const { begin, end } = this.span(name);
    if (end - begin > maxBytes) {
      throw new UserError(
        `Cannot read ${this.file.name}: expected at most ${maxBytes} bytes of ${name}, found ${
          end - begin
        }`,
      );
    }
    return this.file.read(begin, end - begin);
  }
}

/** The weights: the dictionary, at whatever depth, that has tensors of a model; else one that has any. */
function findStateDict(
  root: PickleValue,
  name: string,
): { tensors: [string, PickleCall][]; wrapper: string | null; others: string[] } {
  const all = [...dictionaries(root)].filter(({ dictionary }) =>
    [...dictionary.values()].some((value) => tensorOf(value) !== null)
  );
  const ofModel = all.filter(({ dictionary }) =>
    [...dictionary].some(([key, value]) =>
      typeof key === "string" && OF_MODEL.test(key) && tensorOf(value) !== null
    )
  );
  const found = ofModel.length > 0 ? ofModel : all;
  const rankOf = ({ path }: Found) => {
    const rank = WRAPPERS.indexOf(path.at(-1) ?? "");
    return path.length === 0 ? -1 : rank < 0 ? WRAPPERS.length : rank;
  };
  found.sort((a, b) => rankOf(a) - rankOf(b) || a.path.length - b.path.length);
  const [first, second] = found;
  const named = (path: readonly string[]) => path.length === 0 ? "the whole file" : path.join(".");
  if (first === undefined || second !== undefined && rankOf(first) === rankOf(second)) {
    const keys = root instanceof Map ? [...root.keys()].slice(0, 8).map(String).join(", ") : "";
    throw new UserError(
      `Cannot read ${name}: expected one state_dict, found ${
        first === undefined
          ? `none (${keys || "no dictionary"})`
          : `several (${found.map(({ path }) => named(path)).join(", ")})`
      }`,
    );
  }
  const tensors: [string, PickleCall][] = [], others: string[] = [];
  for (const [key, value] of first.dictionary) {
    const tensor = typeof key === "string" ? tensorOf(value) : null;
    if (tensor === null) others.push(String(key));
    else tensors.push([key as string, tensor]);
  }
  return { tensors, wrapper: first.path.length === 0 ? null : first.path.join("."), others };
}

/** A dictionary, and the keys that lead to it. */
interface Found {
  dictionary: Map<PickleValue, PickleValue>;
  path: string[];
}

function* dictionaries(
  value: PickleValue,
  path: string[] = [],
  seen = new Set<PickleValue>(),
): Generator<Found> {
  // A dictionary may be in itself; none that people write is so deep.
  if (seen.has(value) || path.length > 16) return;
  if (Array.isArray(value)) {
    seen.add(value);
    for (const [i, item] of value.entries()) yield* dictionaries(item, [...path, String(i)], seen);
  } else if (value instanceof Map) {
    seen.add(value);
    yield { dictionary: value, path };
    for (const [key, inner] of value) {
      if (typeof key === "string") yield* dictionaries(inner, [...path, key], seen);
    }
  }
}

/** The call that makes a tensor, out of those around it that make it a parameter or a type of its own; null if it is none. */
function tensorOf(value: PickleValue): PickleCall | null {
  if (!(value instanceof PickleCall)) return null;
  if (PARAMETERS.includes(value.name)) return tensorOf(value.args[0]);
  if (value.name === TYPED) {
    const [make, , args] = value.args;
    return make instanceof PickleGlobal && Array.isArray(args)
      ? tensorOf(new PickleCall(make.name, args))
      : null;
  }
  return value.name === TENSOR || value.name === OLD_TENSOR ? value : null;
}

/** Where a tensor lies: a view of a storage, from an element on, with a stride in elements per dimension. */
function tensorInfo(name: string, { args }: PickleCall, archive: Archive): TensorInfo {
  const fail = (expected: string, found: string) =>
    new UserError(
      `Cannot read ${
        describe(name)
      } from ${archive.file.name}: expected ${expected}, found ${found}; the file is damaged`,
    );
  const [storage, offset, size, stride] = args;
  const shape = counts(size), strides = counts(stride);
  if (!isCount(offset) || !shape || !strides || shape.length !== strides.length) {
    throw fail("offset, shape and strides in whole numbers", "something else");
  }
  const { key, dtype, length } = storageOf(storage, fail);
  const span = archive.span(`data/${key}`);
  const bytes = BITS.get(dtype)! / 8;
  if (length * bytes > span.end - span.begin) {
    throw fail(`${length} elements of its storage`, `${span.end - span.begin} bytes`);
  }
  const elements = shape.reduce((product, count) => product * count, 1);
  const extent = elements === 0
    ? 0
    : shape.reduce((last, count, i) => last + (count - 1) * strides[i], 0) + 1;
  // More elements than there are places would let a small file ask for a large tensor.
  if (elements > extent || offset + extent > length) {
    throw fail(
      `shape ${formatShape(shape)} with strides ${
        formatShape(strides)
      } from ${offset} on within its storage`,
      `${length} elements`,
    );
  }
  const begin = span.begin + offset * bytes;
  const info = { dtype, shape, begin, end: begin + extent * bytes };
  return isRowMajor(shape, strides) ? info : { ...info, strides };
}

function storageOf(
  storage: PickleValue,
  fail: (expected: string, found: string) => UserError,
): { key: string; dtype: string; length: number } {
  const id = storage instanceof PickleReference && Array.isArray(storage.id) ? storage.id : [];
  const [kind, type, key, _device, length] = id;
  const dtype = type instanceof PickleGlobal ? STORAGES.get(type.name) : undefined;
  if (kind !== "storage" || !dtype || typeof key !== "string" || !isCount(length)) {
    throw fail("a storage of one of torch's number types", "something else");
  }
  return { key, dtype, length };
}

/** A tuple of sizes; a `torch.Size` is one. */
function counts(value: PickleValue): number[] | null {
  const items = value instanceof PickleCall && value.name === SIZE ? value.args[0] : value;
  return Array.isArray(items) && items.every(isCount) ? items : null;
}

function isCount(value: PickleValue): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether elements lie one after another; strides along dimensions of one element do not count. */
function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i];
  }
  return true;
}
