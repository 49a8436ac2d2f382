// This module is browser compatible.

import { UserError } from "../errors.ts";

/** Rows of a dataset in the manner of Python's slices: `[:1000]`, `[-50:]`, `[10%:20%]`. */
export interface Slice {
  from: SliceEnd | null;
  to: SliceEnd | null;
}

/** A row number, counted from the end where it is negative, or a percentage of all rows. */
export interface SliceEnd {
  value: number;
  percent: boolean;
}

/** @throws {UserError} If `text` is no slice. */
export function parseSlice(text: string): Slice {
  const [, from, to] = /^\[(-?\d+%?)?:(-?\d+%?)?\]$/.exec(text) ?? [];
  const slice = { from: sliceEnd(from), to: sliceEnd(to) };
  const beyond = [slice.from, slice.to].some((end) => end?.percent && Math.abs(end.value) > 100);
  if (from === undefined && to === undefined || beyond) {
    throw new UserError(`Expected a slice such as [:1000] or [10%:20%], found ${text}`);
  }
  return slice;
}

function sliceEnd(text: string | undefined): SliceEnd | null {
  if (text === undefined) return null;
  return { value: Number.parseInt(text), percent: text.endsWith("%") };
}

/** Whether the rows of a slice cannot be told without the number of all rows. */
export function needsCount({ from, to }: Slice): boolean {
  return [from, to].some((end) => end !== null && (end.percent || end.value < 0));
}

/**
 * @param count Number of all rows; any where {@link needsCount} says no.
 * @returns The first row of a slice and the row after its last.
 */
export function sliceBounds({ from, to }: Slice, count: number): { begin: number; end: number } {
  const row = ({ value, percent }: SliceEnd) => {
    const rows = percent ? Math.round(count * value / 100) : value;
    return rows < 0 ? Math.max(0, count + rows) : rows;
  };
  return { begin: from === null ? 0 : row(from), end: to === null ? Infinity : row(to) };
}
