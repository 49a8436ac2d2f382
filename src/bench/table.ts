// This module is browser compatible.

/** A column: its head, what it shows of a row, and digits for numbers. */
export interface Column<Row> {
  head: string;
  cell: (row: Row) => string | number | null;
  digits?: number;
}

/** Rows as lines of text: words to the left, numbers to the right, a dash where there is nothing to tell. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const isNumber = ({ digits }: Column<Row>) => digits !== undefined;
  const texts = rows.map((row) =>
    columns.map(({ cell, digits = 0 }) => {
      const value = cell(row);
      if (typeof value !== "number") return value ?? "-";
      return value.toLocaleString("en", {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      });
    })
  );
  const lines = [columns.map(({ head }) => head), ...texts];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  return lines.map((line) =>
    line.map((text, i) => isNumber(columns[i]) ? text.padStart(widths[i]) : text.padEnd(widths[i]))
      .join("  ").trimEnd() + "\n"
  ).join("");
}
