// This module is browser compatible.
/**
 * Event files of TensorBoard: records of TFRecord with a protobuf message `Event` each. Our own because the writers on npm bring
 * all of TensorFlow, and the messages here have few fields.
 *
 * Format: tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto, and summary.proto, tensor.proto and
 * tensor_shape.proto of tensorflow/core/framework.
 *
 * @module
 */

/** What TensorBoard looks for in the name of such a file. */
export const EVENT_FILE = "events.out.tfevents";

/** @returns The record that an event file begins with. @param seconds Since 1970. */
export function versionRecord(seconds: number): Uint8Array<ArrayBuffer> {
  return record([...double(1, seconds), ...text(3, "brain.Event:2")]);
}

/** @returns The record of a step's numbers. @param scalars By the names that TensorBoard shows. */
export function scalarsRecord(
  seconds: number,
  step: number,
  scalars: Readonly<Record<string, number>>,
): Uint8Array<ArrayBuffer> {
  const values = Object.entries(scalars).flatMap(([tag, value]) =>
    bytes(1, [...text(1, tag), ...float(2, value)])
  );
  return summaryRecord(seconds, step, values);
}

/**
 * @returns The record of a step's texts, which TensorBoard shows as a table.
 * @param rows Cells, as many in each row.
 */
export function textsRecord(
  seconds: number,
  step: number,
  tag: string,
  rows: readonly (readonly string[])[],
): Uint8Array<ArrayBuffer> {
  const shape = [rows.length, rows[0].length].flatMap((size) => bytes(2, whole(1, size)));
  const cells = rows.flat().flatMap((cell) => text(8, cell));
  const tensor = [...whole(1, DT_STRING), ...bytes(2, shape), ...cells];
  const metadata = [...bytes(1, text(1, "text")), ...whole(4, DATA_CLASS_TENSOR)];
  const value = [...text(1, tag), ...bytes(8, tensor), ...bytes(9, metadata)];
  return summaryRecord(seconds, step, bytes(1, value));
}

const DT_STRING = 7, DATA_CLASS_TENSOR = 2;

function summaryRecord(seconds: number, step: number, values: number[]): Uint8Array<ArrayBuffer> {
  return record([...double(1, seconds), ...whole(2, step), ...bytes(5, values)]);
}

/** Length, its checksum, the message, its checksum. */
function record(message: number[]): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(12 + message.length + 4);
  const view = new DataView(data.buffer);
  view.setBigUint64(0, BigInt(message.length), true);
  view.setUint32(8, masked(crc32c(data.subarray(0, 8))), true);
  data.set(message, 12);
  view.setUint32(12 + message.length, masked(crc32c(data.subarray(12, -4))), true);
  return data;
}

/** Protobuf's whole numbers, seven bits a byte. */
function varint(value: number): number[] {
  const digits: number[] = [];
  for (let rest = value;; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...digits, rest];
    digits.push(rest % 128 | 128);
  }
}

function bytes(field: number, content: Iterable<number>): number[] {
  const data = [...content];
  return [...varint(field << 3 | 2), ...varint(data.length), ...data];
}

function text(field: number, content: string): number[] {
  return bytes(field, new TextEncoder().encode(content));
}

function whole(field: number, value: number): number[] {
  return [...varint(field << 3), ...varint(value)];
}

function double(field: number, value: number): number[] {
  return [...varint(field << 3 | 1), ...new Uint8Array(Float64Array.of(value).buffer)];
}

function float(field: number, value: number): number[] {
  return [...varint(field << 3 | 5), ...new Uint8Array(Float32Array.of(value).buffer)];
}

/** Castagnoli's polynomial, bits reversed. */
const POLYNOMIAL = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = crc >>> 8 ^ TABLE[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord stores checksums so, for data that holds checksums itself. */
const masked = (crc: number) => ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
