// This module is browser compatible.

/**
 * Where the entries of a zip file lie, for files whose entries are stored as they are, as PyTorch writes them. Our own,
 * since zip libraries (fflate, zip.js) hand out contents and want the file in memory for it, while weights are to be
 * read from their place in the file, one tensor at a time.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { FileReader } from "./files.ts";
import { describe } from "./json.ts";

/** The content of an entry: bytes `begin` to `end` of the file. */
export interface ZipSpan {
  begin: number;
  end: number;
}

const END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20, CENTRAL_BYTES = 46, LOCAL_BYTES = 30;
const END = 0x06054b50, END64 = 0x06064b50, LOCATOR = 0x07064b50;
const CENTRAL = 0x02014b50, LOCAL = 0x04034b50;
/** The end record may be followed by a comment of so many bytes. */
const MAX_COMMENT_BYTES = 0xffff;
const ENCRYPTED = 1;

/** Whether the file begins like a zip file. */
export async function isZip(file: FileReader): Promise<boolean> {
  return file.size >= 4 &&
    new DataView((await file.read(0, 4)).buffer).getUint32(0, true) === LOCAL;
}

/**
 * Lists the entries of a zip file, by name. Every span was checked to lie within the file and not to overlap another.
 *
 * @throws {UserError} If the file is cut off or damaged, or an entry is compressed or encrypted.
 */
export async function readZipEntries(file: FileReader): Promise<Map<string, ZipSpan>> {
  const fail = (expected: string, found: string) =>
    new UserError(
      `Cannot read ${file.name} as zip: expected ${expected}, found ${found}; the file is damaged or incomplete`,
    );
  const directory = await findDirectory(file, fail);
  const bytes = await file.read(directory.begin, directory.end - directory.begin);
  const headers = parseDirectory(bytes, fail);
  headers.sort((a, b) => a.offset - b.offset);
  const entries = new Map<string, ZipSpan>();
  let previousEnd = 0;
  for (const header of headers) {
    const { name, offset, size } = header;
    if (entries.has(name)) throw fail("every entry once", `${describe(name)} twice`);
    if (header.method !== 0 || header.size !== header.storedSize || header.flags & ENCRYPTED) {
      throw fail("entries stored as they are", `${describe(name)} compressed or encrypted`);
    }
    if (offset < previousEnd || offset + LOCAL_BYTES > directory.begin) {
      throw fail(`${describe(name)} between its neighbours`, `it at byte ${offset}`);
    }
    const local = new DataView((await file.read(offset, LOCAL_BYTES)).buffer);
    if (local.getUint32(0, true) !== LOCAL) {
      throw fail(`the header of ${describe(name)} at byte ${offset}`, "something else");
    }
    const begin = offset + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
    const end = begin + size;
    if (end > directory.begin) {
      throw fail(
        `${describe(name)} to end before byte ${directory.begin}`,
        `${size} bytes from byte ${begin} on`,
      );
    }
    entries.set(name, { begin, end });
    previousEnd = end;
  }
  return entries;
}

type Fail = (expected: string, found: string) => UserError;

/** Finds the list of entries by the record at the end of the file. */
async function findDirectory(file: FileReader, fail: Fail): Promise<ZipSpan> {
  const tailBegin = Math.max(0, file.size - END_BYTES - MAX_COMMENT_BYTES);
  const tail = new DataView((await file.read(tailBegin, file.size - tailBegin)).buffer);
  let at = tail.byteLength - END_BYTES;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) throw fail("the list of its entries at the end", "none");
  let recordBegin = tailBegin + at;
  let size = tail.getUint32(at + 12, true);
  let begin = tail.getUint32(at + 16, true);
  if (at >= LOCATOR_BYTES && tail.getUint32(at - LOCATOR_BYTES, true) === LOCATOR) {
    recordBegin = count(tail, at - LOCATOR_BYTES + 8);
    if (!(recordBegin + END64_BYTES <= tailBegin + at)) {
      throw fail("the zip64 record within the file", `it at byte ${recordBegin}`);
    }
    const record = new DataView((await file.read(recordBegin, END64_BYTES)).buffer);
    if (record.getUint32(0, true) !== END64) throw fail("a zip64 record", "something else");
    size = count(record, 40);
    begin = count(record, 48);
  }
  if (!(begin + size <= recordBegin)) {
    throw fail(`the list of entries before byte ${recordBegin}`, `${size} bytes from ${begin} on`);
  }
  return { begin, end: begin + size };
}

interface EntryHeader {
  name: string;
  flags: number;
  method: number;
  storedSize: number;
  size: number;
  /** First byte of the entry's own header. */
  offset: number;
}

function parseDirectory(bytes: Uint8Array<ArrayBuffer>, fail: Fail): EntryHeader[] {
  const view = new DataView(bytes.buffer);
  const headers: EntryHeader[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + CENTRAL_BYTES > bytes.length || view.getUint32(at, true) !== CENTRAL) {
      throw fail(`entry ${headers.length} of the list`, "something else");
    }
    const nameEnd = at + CENTRAL_BYTES + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > bytes.length) throw fail(`entry ${headers.length} within the list`, "its end");
    const header: EntryHeader = {
      name: new TextDecoder().decode(bytes.subarray(at + CENTRAL_BYTES, nameEnd)),
      flags: view.getUint16(at + 8, true),
      method: view.getUint16(at + 10, true),
      storedSize: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    };
    readZip64(view, nameEnd, extraEnd, header);
    headers.push(header);
    at = next;
  }
  return headers;
}

const ZIP64_FIELD = 1;

/** Numbers that do not fit 32 bits stand in an extra field, in this order. */
function readZip64(view: DataView, begin: number, end: number, header: EntryHeader): void {
  for (let at = begin; at + 4 <= end;) {
    let value = at + 4;
    at = value + view.getUint16(at + 2, true);
    if (view.getUint16(value - 4, true) !== ZIP64_FIELD) continue;
    for (const key of ["size", "storedSize", "offset"] as const) {
      if (header[key] !== 0xffffffff || value + 8 > Math.min(at, end)) continue;
      header[key] = count(view, value);
      value += 8;
    }
  }
}

/** A number of 64 bits; beyond 2^53 it is inexact, and beyond every file. */
function count(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}
