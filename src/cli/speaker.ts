import type { Options } from "../config.ts";
import { loadModel } from "../engine.ts";
import type { Completion } from "../generate/batcher.ts";
import { generate, type SamplingOptions } from "../generate/generate.ts";
import type { Model } from "../model/model.ts";
import { stopIdsOf } from "../text/prompt.ts";
import { TextStream } from "../text/text_stream.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { Context } from "./context.ts";
import { openStoredModel } from "../platform/models.ts";
import type { OpenDevice, StoredModel } from "../run/ports.ts";

export type GenerateFlags = Options<"generate">;
export type Streams = Pick<Context, "stdout" | "stderr" | "signal">;

/** A model that can be asked, and what its prompts are made with. */
export interface Speaker {
  path: string;
  model: Model;
  tokenizer: TextTokenizer | null;
  stopIds: number[];
}

/** @param positions Tokens that a prompt and its answer may have together, of those that the model allows. */
export async function openSpeaker(
  path: string,
  options: GenerateFlags,
  { gpu, precision }: OpenDevice,
  context: Pick<Context, "stderr">,
  positions: (stored: StoredModel) => number,
): Promise<Speaker> {
  using stored = await openStoredModel(path);
  for (const note of stored.notes) context.stderr.write(`weights    ${note}\n`);
  const { config, tokenizer } = stored;
  const model = await loadModel(gpu, stored, {
    precision,
    positions: Math.min(positions(stored), config.maxPositionEmbeddings),
  });
  const stopIds = options.ignoreEos ? [] : stopIdsOf(config, tokenizer);
  return { path, model, tokenizer, stopIds };
}

/**
 * Answers one prompt.
 *
 * @param write Gets the text while it is made.
 */
export async function answer(
  { model, tokenizer, stopIds }: Speaker,
  prompt: readonly number[],
  options: GenerateFlags,
  { signal }: Pick<Streams, "signal">,
  write?: (text: string) => void,
): Promise<{ completion: Completion; note: string }> {
  const stream = write && tokenizer ? new TextStream(tokenizer) : null;
  const startMs = performance.now();
  const [completion] = await generate(model, [prompt], {
    ...sampling(options),
    maxNewTokens: options.maxNewTokens,
    stopIds,
    signal,
    onToken(_, id) {
      if (stream && !stopIds.includes(id)) write!(stream.push(id));
    },
  });
  if (stream) write!(stream.end());
  const { ids, finishReason } = completion;
  const rate = (1000 * ids.length / (performance.now() - startMs)).toPrecision(3);
  return { completion, note: `${ids.length} tokens (${finishReason}), ${rate} tokens/s` };
}

/** How the options draw tokens. */
export function sampling(options: GenerateFlags): SamplingOptions {
  const { temperature, topK, topP, minP, seed } = options;
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = options;
  return {
    temperature,
    topK,
    topP,
    minP,
    repetitionPenalty,
    frequencyPenalty,
    presencePenalty,
    seed,
  };
}

/** The text of a completion without its end token; its ids where the model has no tokenizer. */
export function spoken(speaker: Speaker, completion: Completion): string {
  return jsonOf(speaker, completion).text ?? completion.ids.join(",");
}

/** A completion as JSON output has it. */
export function jsonOf({ tokenizer }: Speaker, { ids, finishReason }: Completion) {
  const words = finishReason === "stop" ? ids.slice(0, -1) : ids;
  return { text: tokenizer?.decode(words) ?? null, ids, finish_reason: finishReason };
}

/** What a model writes must not steer the terminal. */
export function harmless(text: string): string {
  // deno-lint-ignore no-control-regex -- these are the ones to be found
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd");
}
