// This module is browser compatible.

import type { DatasetRow } from "../rows.ts";
import type { TranslatedRow } from "./translated.ts";
import { numberOf, type Values, withPrompt, wordOf } from "./values.ts";

/** Two answers under names of their own, and which of them is better. */
const SIDES: readonly {
  format: string;
  sides: [string, string];
  verdict: string[];
  /** @returns The place of the better one. */
  better(value: Values): number | null;
}[] = [
  {
    format: "Stanford's human preferences",
    sides: ["human_ref_A", "human_ref_B"],
    verdict: ["labels"],
    better: ({ labels }) => numberOf(labels) === 1 ? 0 : numberOf(labels) === 0 ? 1 : null,
  },
  {
    format: "an arena's conversations",
    sides: ["conversation_a", "conversation_b"],
    verdict: ["winner"],
    better: ({ winner }) => placeOf(winner, ["model_a", "model_b"]),
  },
  {
    format: "responses with the better one's number",
    sides: ["response_0", "response_1"],
    verdict: ["better_response_id"],
    better: ({ better_response_id: id }) => placeOf(wordOf(id), ["0", "1"]),
  },
];

export function twoSides({ value }: DatasetRow): TranslatedRow | null {
  const found = SIDES.find(({ sides, verdict }) => [...sides, ...verdict].every((n) => n in value));
  if (found === undefined) return null;
  const { format, sides, verdict, better } = found;
  const place = better(value);
  const rest = { ...value };
  for (const name of [...sides, ...verdict]) delete rest[name];
  return {
    format,
    columns: [...sides, ...verdict],
    pairs: place === null ? [] : [{
      ...withPrompt(rest),
      chosen: value[sides[place]],
      rejected: value[sides[1 - place]],
    }],
    ties: 0,
    answers: 2,
  };
}

function placeOf(text: unknown, names: readonly string[]): number | null {
  const place = names.indexOf(wordOf(text));
  return place < 0 ? null : place;
}
