import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import { nextTokenProbabilities } from "../generate/generate.ts";
import { openDevice } from "../platform/device.ts";
import { openStoredModel } from "../platform/models.ts";
import { deviceInWords, factsOf } from "../report/words.ts";
import type { OpenDevice } from "../run/ports.ts";
import {
  type Answer,
  answer,
  answerOf,
  encodePrompt,
  openSpeaker,
  sampling,
  type Speaker,
  spoken,
} from "../run/speaker.ts";
import { type Context, Interrupted, lineWriter } from "./context.ts";
import { converse } from "./converse.ts";
import { harmless } from "./harmless.ts";
import { printDetails } from "./run_printer.ts";

type GenerateFlags = Options<"generate">;
type Streams = Pick<Context, "stdout" | "stderr" | "signal">;

/** A model, and the prompt in its tokens. */
interface PromptedSpeaker extends Speaker {
  prompt: number[];
}

/**
 * Continues a prompt, with one model or with two; without a prompt it converses with the person at the terminal, or takes what
 * comes through the pipe. As JSON a completion is `{"text", "ids", "finish_reason"}`: the ids with the end token, the text
 * without it, null if the model has no tokenizer; with `--compare` it is `{"policy", "reference"}` of them, with
 * `--probabilities` `{"ids", "probabilities"}`, the likeliest first.
 */
export async function run(
  options: GenerateFlags,
  context: Pick<Context<"generate">, "stdin" | "stdout" | "stderr" | "signal">,
): Promise<void> {
  const talks = options.prompt === null && options.promptIds === null;
  const say = lineWriter(context.stderr);
  const device = await openDevice(options, { say });
  say(`device     ${deviceInWords(factsOf(device))}`);
  if (talks && context.stdin.isTerminal()) {
    if (options.json || options.probabilities) {
      throw new UserError("Expected --prompt with --json or --probabilities, found a conversation");
    }
    await converse(options, device, context);
    if (context.signal.aborted) throw new Interrupted();
    return;
  }
  const asked = talks ? { ...options, prompt: await pipedPrompt(context) } : options;
  const policy = await ask(options.model, asked, device, context);
  if (options.probabilities) await showProbabilities(policy, options, context);
  else if (options.compare === null) await showAnswer(policy, options, context);
  else {
    const reference = await ask(options.compare, asked, device, context);
    await showAnswers({ policy, reference }, options, context);
  }
  if (context.signal.aborted) throw new Interrupted();
}

async function pipedPrompt({ stdin }: Pick<Context, "stdin">): Promise<string> {
  const text = (await stdin.text()).replace(/\r?\n$/, "");
  if (text !== "") return text;
  throw new UserError("Expected --prompt, --prompt-ids or a text on standard input, found none");
}

async function ask(
  path: string,
  options: GenerateFlags,
  device: OpenDevice,
  context: Pick<Context, "stderr">,
): Promise<PromptedSpeaker> {
  let prompt: number[] = [];
  const opening = { ports: { openModel: openStoredModel }, emit: printDetails(context) };
  const speaker = await openSpeaker(path, options, device, opening, ({ tokenizer }) => {
    prompt = encodePrompt(options, tokenizer, path);
    return prompt.length + options.maxNewTokens;
  });
  return { ...speaker, prompt };
}

async function showAnswer(
  speaker: PromptedSpeaker,
  options: GenerateFlags,
  context: Streams,
): Promise<void> {
  const { stdout, stderr } = context;
  const live = stdout.columns() !== null && !options.json && speaker.tokenizer !== null;
  const write = (text: string) => stdout.write(harmless(text));
  const { completion, note } = await answer(
    speaker,
    speaker.prompt,
    options,
    context,
    live ? write : undefined,
  );
  if (live) stdout.write("\n");
  else if (options.json) stdout.write(`${JSON.stringify(jsonOf(answerOf(speaker, completion)))}\n`);
  else stdout.write(`${spoken(speaker, completion)}\n`);
  stderr.write(`generated  ${note}\n`);
}

async function showAnswers(
  speakers: Record<"policy" | "reference", PromptedSpeaker>,
  options: GenerateFlags,
  context: Streams,
): Promise<void> {
  const texts: string[] = [];
  const json: Record<string, unknown> = {};
  for (const [name, speaker] of Object.entries(speakers)) {
    const { completion, note } = await answer(speaker, speaker.prompt, options, context);
    context.stderr.write(`generated  ${note}\n`);
    json[name] = jsonOf(answerOf(speaker, completion));
    const indented = spoken(speaker, completion).replaceAll("\n", `\n${"".padEnd(COLUMNS)}`);
    texts.push(`${name.padEnd(COLUMNS)}${indented}\n`);
  }
  context.stdout.write(options.json ? `${JSON.stringify(json)}\n` : texts.join(""));
}

function jsonOf({ text, ids, finishReason }: Answer) {
  return { text, ids, finish_reason: finishReason };
}

const COLUMNS = "reference  ".length;

async function showProbabilities(
  { model, tokenizer, prompt }: PromptedSpeaker,
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
