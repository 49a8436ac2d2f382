import { styleText } from "node:util";
import type { Options } from "../config/resolve.ts";
import {
  type InspectedRow,
  type InspectedSequence,
  type InspectedToken,
  inspectRow,
} from "../data/inspect.ts";
import type { DropReason, RowNote } from "../data/prepared.ts";
import { readRows } from "../data/rows.ts";
import { UserError } from "../errors.ts";
import { readConfig } from "../model/directory.ts";
import { openDataset } from "../platform/datasets.ts";
import { openModelFiles } from "../platform/models.ts";
import { readStopIds } from "../text/stop_tokens.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { showAudit } from "./audit.ts";
import type { Context } from "./context.ts";
import { dataOptions, mainDataset } from "../run/inputs.ts";

const REASONS: Record<DropReason, string> = {
  droppedEmptyCompletion: "a completion is empty",
  droppedPromptTooLong: "the prompt leaves no room for a completion",
  droppedTooLong: "it is longer than the maximum length",
  droppedWithoutPreference: "it prefers no answer",
};

const NOTES: Record<RowNote, string> = {
  severalAnswers: "it has more than two answers; --ranked-pairs says which pairs they make",
  repeatedPrompts: "the prompt stood in the answers again, and is left out there",
  echoedPrompts: "the answers begin with the prompt",
  otherSpeakers: "an answer is not by the assistant",
  turnsLeftOut: "turns behind the last answer are left out",
  lostInTemplate: "the chat template leaves something out that a message says",
  openingDropped:
    "the chat template opens an answer with text that it does not write in a conversation: when the model is asked, " +
    "answers follow other text than in training",
};

const LABEL_COLUMNS = "completion, scored (999) ".length;

/** Shows what the model will see of a dataset's rows. */
export async function run(
  options: Options<"inspect">,
  context: Context<"inspect">,
): Promise<void> {
  const { stdout } = context;
  if (options.audit) return await showAudit(options, context);
  const directory = await openModelFiles(options.model);
  const tokenizer = await loadTokenizer(directory);
  const config = await readConfig(directory);
  const stopIds = await readStopIds(directory, config, tokenizer);
  const data = dataOptions(options, { config, stopIds }, options.score);
  const colored = stdout.columns() !== null && !Deno.noColor;
  const { path, ...split } = mainDataset(options, "train");
  let index = 0, shown = 0;
  for await (const row of readRows(await openDataset(path, split))) {
    if (index++ < options.row) continue;
    if (shown++ === options.rows) break;
    const inspected = inspectRow(row, tokenizer, data);
    if (shown === 1 && !options.json) stdout.write(`${inspected.encoding}\n\n`);
    stdout.write(
      options.json
        ? `${JSON.stringify({ index: index - 1, ...inspected })}\n`
        : rowText(index - 1, inspected, colored),
    );
  }
  if (shown === 0) {
    throw new UserError(
      `Cannot show row ${options.row} of ${options.dataset}: expected a row from 0 to ${index - 1}`,
    );
  }
}

function rowText(index: number, row: InspectedRow, colored: boolean): string {
  const notes = [
    ...(row.dropped === null ? [] : [`dropped: ${REASONS[row.dropped]}`]),
    ...row.label === undefined ? [] : [
      row.label
        ? "a good answer"
        : "a bad answer; --loss-type kto learns from it, sft leaves it out",
    ],
    ...row.notes.map((note) => NOTES[note]),
    ...(row.boundaryMerged && !row.notes.includes("openingDropped")
      ? ["a token crosses the end of the prompt"]
      : []),
  ];
  return [
    `row ${index}: ${row.where} (${row.format})`,
    ...notes.map((note) => `  ${note}`),
    ...row.sequences.flatMap((sequence) => [
      `  ${sequence.name}`,
      ...runs(sequence).map((run) => `    ${runText(run, colored)}`),
    ]),
    "",
    "",
  ].join("\n");
}

/** Neighbouring tokens with the same lot. */
function runs({ tokens }: InspectedSequence): InspectedToken[][] {
  const result: InspectedToken[][] = [];
  for (const token of tokens) {
    const run = result.at(-1);
    if (run !== undefined && lot(run[0]) === lot(token)) run.push(token);
    else result.push([token]);
  }
  return result;
}

function lot({ part, cut, scored }: InspectedToken): string {
  return `${part}${cut ? ", cut" : scored ? ", scored" : ""}`;
}

function runText(run: InspectedToken[], colored: boolean): string {
  const label = `${lot(run[0])} (${run.length})`.padEnd(LABEL_COLUMNS);
  if (!colored) return `${label}|${run.map(visible).join("|")}|`;
  const { cut, scored } = run[0];
  const [even, odd] = cut
    ? ["bgRed", "bgRedBright"] as const
    : scored
    ? ["bgGreen", "bgGreenBright"] as const
    : ["bgWhite", "bgWhiteBright"] as const;
  const texts = run.map((token, i) =>
    styleText(["black", i % 2 === 0 ? even : odd], visible(token), { validateStream: false })
  );
  return label + texts.join("");
}

function visible({ id, text }: InspectedToken): string {
  return text === "" ? ` ${id} ` : text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(
    // deno-lint-ignore no-control-regex -- text from a dataset must not steer the terminal
    /[\x00-\x1f\x7f-\x9f]/g,
    (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
