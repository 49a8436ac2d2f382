// This module is browser compatible.

/**
 * Reads what a Python pickle describes, without doing what it says. A pickle is a program that may import and call
 * anything; here imports are names, calls are records of a name and its arguments, and a name that the caller does not
 * know ends the reading. Nothing is built before the whole pickle was read. Only the binary opcodes are known that
 * `torch.save` writes.
 *
 * Our own: `pickleparser`, the one npm library, calls its resolver's functions as it reads.
 *
 * @module
 */

import { UserError } from "../errors.ts";

/** An imported name: `torch.FloatStorage`. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** A call that the pickle asks for. */
export class PickleCall {
  constructor(readonly name: string, readonly args: readonly PickleValue[]) {}
}

/** A reference to something outside of the pickle. */
export class PickleReference {
  constructor(readonly id: PickleValue) {}
}

/** Tuples and lists are arrays, dictionaries (ordered ones, too) are maps. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleGlobal
  | PickleCall
  | PickleReference
  | PickleValue[]
  | Map<PickleValue, PickleValue>;

const ORDERED_DICT = "collections.OrderedDict";
/** Dictionaries by another name: their first argument is not what is in them, or is a dictionary. */
const DICTIONARIES = ["collections.defaultdict", "collections.Counter"];

/**
 * @param name How messages call the file.
 * @param allowed Names that may be imported and called.
 * @throws {UserError} If it is cut off or malformed, or imports another name, which the message tells.
 */
export function readPickle(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  allowed: ReadonlySet<string>,
): PickleValue {
  return new Machine(bytes, name, allowed).run();
}

const MARK = Symbol("mark");
type Item = PickleValue | typeof MARK;

/** A stack machine, as Python's is. It only moves values, so its memory is in proportion to the pickle's length. */
class Machine {
  readonly #view: DataView;
  readonly #stack: Item[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;

  constructor(
    readonly bytes: Uint8Array<ArrayBuffer>,
    readonly name: string,
    readonly allowed: ReadonlySet<string>,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PickleValue {
    for (;;) {
      const at = this.#at;
      const opcode = this.u8();
      if (opcode === STOP) return this.pop();
      const action = OPCODES.get(opcode);
      if (action === undefined) {
        throw this.#malformed(`an opcode of torch.save at byte ${at}`, `0x${opcode.toString(16)}`);
      }
      action(this);
    }
  }

  #malformed(expected: string, found: string): UserError {
    return new UserError(
      `Cannot read ${this.name}: expected ${expected}, found ${found}; the file is damaged, or not a state_dict`,
    );
  }

  // Reading

  #take(length: number): number {
    const at = this.#at;
    if (!(length <= this.bytes.length - at)) {
      throw this.#malformed(`${length} bytes at byte ${at}`, `${this.bytes.length - at}`);
    }
    this.#at += length;
    return at;
  }

  u8 = () => this.#view.getUint8(this.#take(1));
  u16 = () => this.#view.getUint16(this.#take(2), true);
  u32 = () => this.#view.getUint32(this.#take(4), true);
  i32 = () => this.#view.getInt32(this.#take(4), true);
  u64 = () => this.#view.getBigUint64(this.#take(8), true);
  f64 = () => this.#view.getFloat64(this.#take(8), false);

  slice(length: number): Uint8Array {
    const at = this.#take(length);
    return this.bytes.subarray(at, at + length);
  }

  text(length: number): string {
    return new TextDecoder().decode(this.slice(length));
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.#at);
    const text = this.text((end < 0 ? this.bytes.length + 1 : end) - this.#at);
    this.#take(1);
    return text;
  }

  /** A whole number in two's complement, shortest bytes first. */
  long(length: number): number | bigint {
    const bytes = this.slice(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[i]);
    if (length > 0 && bytes[length - 1] & 0x80) value -= 1n << BigInt(8 * length);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  // Stack and memo

  push(value: Item): void {
    this.#stack.push(value);
  }

  pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) throw this.#malformed("a value", "none");
    return value;
  }

  popMany(count: number): PickleValue[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  popToMark(): PickleValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw this.#malformed("a mark", "none");
    return this.#stack.splice(mark).slice(1) as PickleValue[];
  }

  remember(index = this.#memo.size): void {
    const value = this.pop();
    this.#memo.set(index, value);
    this.push(value);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#malformed(`a remembered value ${index}`, "none");
    this.push(value);
  }

  // Structures

  setItems(items: PickleValue[]): void {
    const map = this.pop();
    if (!(map instanceof Map) || items.length % 2 !== 0) {
      throw this.#malformed("keys and values for a dictionary", "something else");
    }
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
    this.push(map);
  }

  append(items: PickleValue[]): void {
    const list = this.pop();
    if (!Array.isArray(list)) throw this.#malformed("a list", "something else");
    for (const item of items) list.push(item);
    this.push(list);
  }

  /** Attributes of a dictionary or of numpy's types, such as a state_dict's `_metadata`, are of no use here. */
  build(): void {
    this.pop();
    const value = this.pop();
    if (!(value instanceof Map || value instanceof PickleCall)) {
      throw this.#malformed("a dictionary, or what a call makes", "something else");
    }
    this.push(value);
  }

  importName(module: PickleValue, name: PickleValue): void {
    const full = `${module}.${name}`;
    if (!this.allowed.has(full)) throw this.#refused(full);
    this.push(new PickleGlobal(full));
  }

  call(): void {
    const args = this.pop();
    const callable = this.pop();
    if (!(callable instanceof PickleGlobal) || !Array.isArray(args)) {
      throw this.#malformed("a call of a name with a tuple", "something else");
    }
    this.push(
      callable.name === ORDERED_DICT
        ? this.#orderedDict(args)
        : DICTIONARIES.includes(callable.name)
        ? new Map(args[0] instanceof Map ? args[0] : [])
        : new PickleCall(callable.name, args),
    );
  }

  #orderedDict([pairs = []]: PickleValue[]): PickleValue {
    const isPair = (pair: PickleValue): pair is PickleValue[] =>
      Array.isArray(pair) && pair.length === 2;
    if (!Array.isArray(pairs) || !pairs.every(isPair)) {
      throw this.#malformed("pairs for a dictionary", "something else");
    }
    return new Map(pairs.map(([key, value]) => [key, value]));
  }

  #refused(what: string): UserError {
    return new UserError(
      `Cannot read ${this.name}: expected tensors and plain values alone, found that it uses ${what}: a pickle that ` +
        "does can run any program, so nothing of it was loaded; get the weights as safetensors, or save the model's " +
        "state_dict() by itself",
    );
  }
}

const STOP = 0x2e;

/** The opcodes of Python's pickletools that torch.save writes under any protocol, by their codes. */
const OPCODES: ReadonlyMap<number, (machine: Machine) => void> = new Map([
  // Frame and protocol
  [0x80, (m) => void m.u8()], // PROTO
  [0x95, (m) => void m.u64()], // FRAME
  // Plain values
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4a, (m) => m.push(m.i32())], // BININT
  [0x4b, (m) => m.push(m.u8())], // BININT1
  [0x4d, (m) => m.push(m.u16())], // BININT2
  [0x8a, (m) => m.push(m.long(m.u8()))], // LONG1
  [0x47, (m) => m.push(m.f64())], // BINFLOAT
  [0x58, (m) => m.push(m.text(m.u32()))], // BINUNICODE
  [0x8c, (m) => m.push(m.text(m.u8()))], // SHORT_BINUNICODE
  [0x42, (m) => m.push(m.slice(m.u32()))], // BINBYTES
  [0x43, (m) => m.push(m.slice(m.u8()))], // SHORT_BINBYTES
  // Lists, tuples, dictionaries
  [0x28, (m) => m.push(MARK)], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x29, (m) => m.push([])], // EMPTY_TUPLE
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x8f, (m) => m.push([])], // EMPTY_SET
  [0x90, (m) => m.append(m.popToMark())], // ADDITEMS
  [0x91, (m) => m.push(m.popToMark())], // FROZENSET
  [0x74, (m) => m.push(m.popToMark())], // TUPLE
  [0x85, (m) => m.push(m.popMany(1))], // TUPLE1
  [0x86, (m) => m.push(m.popMany(2))], // TUPLE2
  [0x87, (m) => m.push(m.popMany(3))], // TUPLE3
  [0x61, (m) => m.append(m.popMany(1))], // APPEND
  [0x65, (m) => m.append(m.popToMark())], // APPENDS
  [0x73, (m) => m.setItems(m.popMany(2))], // SETITEM
  [0x75, (m) => m.setItems(m.popToMark())], // SETITEMS
  // The memo
  [0x71, (m) => m.remember(m.u8())], // BINPUT
  [0x72, (m) => m.remember(m.u32())], // LONG_BINPUT
  [0x94, (m) => m.remember()], // MEMOIZE
  [0x68, (m) => m.recall(m.u8())], // BINGET
  [0x6a, (m) => m.recall(m.u32())], // LONG_BINGET
  // What a pickle could do harm with
  [0x63, (m) => m.importName(m.line(), m.line())], // GLOBAL
  [0x93, (m) => m.importName(...m.popMany(2) as [PickleValue, PickleValue])], // STACK_GLOBAL
  [0x51, (m) => m.push(new PickleReference(m.pop()))], // BINPERSID
  [0x52, (m) => m.call()], // REDUCE
  [0x62, (m) => m.build()], // BUILD
]);
