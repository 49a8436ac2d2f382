// This module is browser compatible.

import { describe, isObject } from "../../formats/json.ts";
import { malformed } from "../fields.ts";
import type { DatasetRow } from "../rows.ts";
import type { TranslatedRow } from "./translated.ts";
import { wordOf } from "./values.ts";

/**
 * A task of Label Studio with a pairwise comparison: `{data, annotations: [{result: [{type: "pairwise", to_name, value}]}]}`.
 * Of several annotations the majority decides; cancelled ones do not count.
 */
export function labelStudio(row: DatasetRow): TranslatedRow | null {
  const { data, annotations } = row.value;
  if (!isObject(data) || !Array.isArray(annotations)) return null;
  const results = annotations
    .filter((annotation) => isObject(annotation) && annotation.was_cancelled !== true)
    .flatMap((annotation) => Array.isArray(annotation.result) ? annotation.result : [])
    .filter((result) => isObject(result) && result.type === "pairwise");
  const promptName = ["prompt", "question", "instruction", "input", "text"]
    .find((name) => name in data);
  let votes = 0;
  let sides: string[] = [];
  for (const { to_name: names, value } of results) {
    const tags = wordOf(names).split(",").map((name) => name.trim());
    // The names are those of the labels' configuration; data may be called otherwise.
    sides = tags.every((tag) => tag in data)
      ? tags
      : Object.keys(data).filter((name) => name !== promptName && typeof data[name] === "string");
    if (sides.length !== 2 || tags.length !== 2) {
      throw malformed(
        row,
        'two answers in "data" for a pairwise comparison',
        sides.join(", ") || "none",
      );
    }
    const selected = isObject(value) ? value.selected : undefined;
    const side = ["left", "right"].indexOf(wordOf(selected));
    const place = side >= 0 ? side : tags.indexOf(wordOf(selected));
    if (place < 0) {
      throw malformed(
        row,
        `"selected" of the comparison to be left, right, ${tags.join(" or ")}`,
        describe(selected),
      );
    }
    votes += place === 0 ? 1 : -1;
  }
  const [chosen, rejected] = votes > 0 ? sides : [...sides].reverse();
  const prompt = promptName === undefined ? undefined : data[promptName];
  return {
    format: "Label Studio's pairwise comparisons",
    columns: ["data", "annotations"],
    pairs: votes === 0 ? [] : [{
      ...prompt === undefined ? {} : { [Array.isArray(prompt) ? "prompt" : "question"]: prompt },
      ...typeof data.system === "string" ? { system: data.system } : {},
      chosen: data[chosen],
      rejected: data[rejected],
    }],
    ties: 0,
    answers: 2,
  };
}
