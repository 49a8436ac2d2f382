// This module is browser compatible.

import type { Values } from "./values.ts";

/** A row of a tool, understood. */
export interface TranslatedRow {
  /** Whose row it is, in words. */
  format: string;
  /** The columns that it was made from, besides those that are in `pairs` under their own names. */
  columns: string[];
  /** The columns of preference rows; none where the row prefers no answer. */
  pairs: Values[];
  /** Answers that are as good as the one that they would be paired with. */
  ties: number;
  /** Answers that the row has. */
  answers: number;
}
