import type { Options } from "../config.ts";
import { loadModel } from "../engine.ts";
import { UserError } from "../errors.ts";
import type { Completion } from "../generate/batcher.ts";
import { generate, nextTokenProbabilities, type SamplingOptions } from "../generate/generate.ts";
import type { Model } from "../model/model.ts";
import { encodeChat, encodeText, stopIdsOf } from "../text/prompt.ts";
import { TextStream } from "../text/text_stream.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import type { Context } from "./context.ts";
import { type OpenDevice, openDevice } from "./device.ts";
import { openStoredModel } from "./inputs.ts";

const INTERRUPTED = 130;

type GenerateFlags = Options<"generate">;

/** A model, and the prompt in its tokens. */
interface Speaker {
  model: Model;
  tokenizer: TextTokenizer | null;
  prompt: number[];
  stopIds: number[];
}

/**
 * Continues a prompt, with one model or with two. As JSON a completion is `{"text", "ids", "finish_reason"}`: the ids with the
 * end token, the text without it, null if the model has no tokenizer; with `--compare` it is `{"policy", "reference"}` of
 * them, with `--probabilities` `{"ids", "probabilities"}`, the likeliest first.
 */
export async function run(
  options: GenerateFlags,
  context: Pick<Context<"generate">, "stdout" | "stderr" | "signal">,
): Promise<number> {
  const device = await openDevice(options, context);
  if (!device) return 0;
  const { info } = device.gpu;
  context.stderr.write(
    `device     ${info.description} (${info.engine}), ${device.precision}: ${device.precisionReason}\n`,
  );
  const speaker = await openSpeaker(options.model, options, device, context);
  if (options.probabilities) await showProbabilities(speaker, options, context);
  else if (options.compare === null) await showAnswer(speaker, options, context);
  else {
    const reference = await openSpeaker(options.compare, options, device, context);
    await showAnswers({ policy: speaker, reference }, options, context);
  }
  return context.signal.aborted ? INTERRUPTED : 0;
}

async function openSpeaker(
  path: string,
  options: GenerateFlags,
  { gpu, precision }: OpenDevice,
  context: Pick<Context, "stderr">,
): Promise<Speaker> {
  const stored = await openStoredModel(path, context);
  const { config, tokenizer } = stored;
  const prompt = encodePrompt(options, tokenizer, path);
  const positions = Math.min(prompt.length + options.maxNewTokens, config.maxPositionEmbeddings);
  const model = await loadModel(gpu, stored, { precision, positions });
  return {
    model,
    tokenizer,
    prompt,
    stopIds: options.ignoreEos ? [] : stopIdsOf(config, tokenizer),
  };
}

function encodePrompt(
  { prompt, promptIds, chat }: GenerateFlags,
  tokenizer: TextTokenizer | null,
  path: string,
): number[] {
  if (promptIds !== null) return [...promptIds];
  if (tokenizer === null) {
    throw new UserError(
      `Expected a tokenizer.json in ${path} for --prompt, found none: use --prompt-ids`,
    );
  }
  const template = tokenizer.chatTemplate;
  if (chat && template === null) {
    throw new UserError(
      `Expected a chat template in ${path} for --chat, found none: use --no-chat`,
    );
  }
  return template !== null && chat !== false
    ? encodeChat(tokenizer, [{ role: "user", content: prompt! }])
    : encodeText(tokenizer, prompt!);
}

type Streams = Pick<Context, "stdout" | "stderr" | "signal">;

async function showAnswer(
  speaker: Speaker,
  options: GenerateFlags,
  context: Streams,
): Promise<void> {
  const { stdout, stderr } = context;
  const live = stdout.columns() !== null && !options.json && speaker.tokenizer !== null;
  const write = (text: string) => stdout.write(harmless(text));
  const { completion, note } = await answer(speaker, options, context, live ? write : undefined);
  if (live) stdout.write("\n");
  else if (options.json) stdout.write(`${JSON.stringify(jsonOf(speaker, completion))}\n`);
  else stdout.write(`${spoken(speaker, completion)}\n`);
  stderr.write(`generated  ${note}\n`);
}

async function showAnswers(
  speakers: Record<"policy" | "reference", Speaker>,
  options: GenerateFlags,
  context: Streams,
): Promise<void> {
  const texts: string[] = [];
  const json: Record<string, unknown> = {};
  for (const [name, speaker] of Object.entries(speakers)) {
    const { completion, note } = await answer(speaker, options, context);
    context.stderr.write(`generated  ${note}\n`);
    json[name] = jsonOf(speaker, completion);
    const indented = spoken(speaker, completion).replaceAll("\n", `\n${"".padEnd(COLUMNS)}`);
    texts.push(`${name.padEnd(COLUMNS)}${indented}\n`);
  }
  context.stdout.write(options.json ? `${JSON.stringify(json)}\n` : texts.join(""));
}

const COLUMNS = "reference  ".length;

/** @param write Gets the text while it is made. */
async function answer(
  { model, tokenizer, prompt, stopIds }: Speaker,
  options: GenerateFlags,
  { signal }: Streams,
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

function sampling(options: GenerateFlags): SamplingOptions {
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
function spoken(speaker: Speaker, completion: Completion): string {
  return jsonOf(speaker, completion).text ?? completion.ids.join(",");
}

function jsonOf({ tokenizer }: Speaker, { ids, finishReason }: Completion) {
  const words = finishReason === "stop" ? ids.slice(0, -1) : ids;
  return { text: tokenizer?.decode(words) ?? null, ids, finish_reason: finishReason };
}

async function showProbabilities(
  { model, tokenizer, prompt }: Speaker,
  options: GenerateFlags,
  { stdout }: Streams,
): Promise<void> {
  const all = await nextTokenProbabilities(model, prompt, sampling(options));
  const ids = Array.from(all.keys()).filter((id) => all[id] > 0).sort((a, b) => all[b] - all[a]);
  if (options.json) {
    stdout.write(`${JSON.stringify({ ids, probabilities: ids.map((id) => all[id]) })}\n`);
    return;
  }
  for (const id of ids.slice(0, MOST_LINES)) {
    const text = tokenizer ? `  ${JSON.stringify(tokenizer.decode([id]))}` : "";
    stdout.write(`${all[id].toFixed(4)}  ${String(id).padStart(6)}${text}\n`);
  }
  if (ids.length > MOST_LINES) stdout.write(`and ${ids.length - MOST_LINES} less likely ones\n`);
}

const MOST_LINES = 20;

/** What a model writes must not steer the terminal. */
function harmless(text: string): string {
  // deno-lint-ignore no-control-regex -- these are the ones to be found
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd");
}
