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
}));
const TENSOR = "torch._utils._rebuild_tensor_v2", OLD_TENSOR = "torch._utils._rebuild_tensor";
const PARAMETER = "torch._utils._rebuild_parameter", SIZE = "torch.Size";
const ALLOWED: ReadonlySet<string> = new Set([
  ...[TENSOR, OLD_TENSOR, PARAMETER, SIZE, "collections.OrderedDict", ...STORAGES.keys()],
]);

/** What training programs call the weights among the other things that they save. */
const WRAPPERS = ["state_dict", "model_state_dict", "model"];
/** A pickle describes a tensor in about 200 bytes. */
const MAX_PICKLE_BYTES = 100_000_000;
/** Of pickles; files of PyTorch before 1.6 are such. */
const PROTOCOL_OPCODE = 0x80;

/** The tensors of a file of `torch.save`. */
export interface TorchFile {
  tensors: Map<string, TensorInfo>;
  /** The key that they were found under, or null where the file holds nothing else. */
  wrapper: string | null;
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
  const { tensors, wrapper } = findStateDict(readPickle(bytes, file.name, ALLOWED), file.name);
  return {
    wrapper,
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

/** The weights: the whole, or what it holds under one of the usual names. */
function findStateDict(
  root: PickleValue,
  name: string,
): { tensors: [string, PickleCall][]; wrapper: string | null } {
  const found = [null, ...WRAPPERS].flatMap((wrapper) => {
    const dictionary = wrapper === null ? root : root instanceof Map ? root.get(wrapper) : null;
    const isStateDict = dictionary instanceof Map && [...dictionary.values()].some(isTensor);
    return isStateDict ? [{ wrapper, dictionary }] : [];
  });
  if (found.length !== 1) {
    const keys = root instanceof Map ? [...root.keys()].slice(0, 8).map(String).join(", ") : "";
    throw new UserError(
      `Cannot read ${name}: expected a state_dict, by itself or under one of ${
        WRAPPERS.join(", ")
      }, found ${found.length > 1 ? "several" : `none (${keys || "no dictionary"})`}`,
    );
  }
  const [{ wrapper, dictionary }] = found;
  const tensors = [...dictionary].map(([key, value]): [string, PickleCall] => {
    if (typeof key !== "string" || !isTensor(value)) {
      throw new UserError(
        `Cannot read ${name}: expected tensors by name, found ${String(key)}, which is none`,
      );
    }
    return [key, value.name === PARAMETER ? value.args[0] as PickleCall : value];
  });
  return { tensors, wrapper };
}

function isTensor(value: PickleValue): value is PickleCall {
  if (!(value instanceof PickleCall)) return false;
  if (value.name === PARAMETER) return isTensor(value.args[0]);
  return value.name === TENSOR || value.name === OLD_TENSOR;
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
