import type { Options } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import type { Message } from "../text/chat.ts";
import { encodeChat } from "../text/prompt.ts";
import { openStoredModel } from "../platform/models.ts";
import type { OpenDevice } from "../run/ports.ts";
import { answer, openSpeaker, type Speaker, spoken } from "../run/speaker.ts";
import type { Context } from "./context.ts";
import { harmless } from "./harmless.ts";
import { printDetails } from "./run_printer.ts";

type GenerateFlags = Options<"generate">;

/** Tokens of a conversation that are remembered, of those that the model allows. */
const MOST_POSITIONS = 2048;

/** One side of a conversation: a model, and what was said to and by it. */
interface Side extends Speaker {
  name: string;
  messages: Message[];
}

/** A conversation at the terminal, with one model or with two that hear the same questions. */
export async function converse(
  options: GenerateFlags,
  device: OpenDevice,
  context: Pick<Context, "stdin" | "stdout" | "stderr" | "signal">,
): Promise<void> {
  const { stdin, stdout, stderr, signal } = context;
  const paths = options.compare === null
    ? { model: options.model }
    : { policy: options.model, reference: options.compare };
  const opening = { ports: { openModel: openStoredModel }, emit: printDetails(context) };
  const sides: Side[] = [];
  for (const [name, path] of Object.entries(paths)) {
    const speaker = await openSpeaker(path, options, device, opening, () => MOST_POSITIONS);
    if (!speaker.tokenizer?.chatTemplate || options.chat === false) {
      throw new UserError(
        `Expected a model with a chat template to chat with, found ${path} ` +
          `${options.chat === false ? "with --no-chat" : "without"}: use --prompt`,
      );
    }
    sides.push({ ...speaker, name, messages: [] });
  }
  stderr.write("Type a message. An empty line starts a new conversation, Ctrl-D ends\n");
  while (!signal.aborted) {
    stderr.write("\n> ");
    const line = await stdin.line(signal);
    if (line === null) break;
    if (line.trim() === "") {
      for (const side of sides) side.messages = [];
      stderr.write("new conversation\n");
      continue;
    }
    for (const side of sides) {
      if (sides.length > 1) stdout.write(`${side.name}: `);
      await reply(side, line, options, context);
      if (signal.aborted) break;
    }
  }
}

async function reply(
  side: Side,
  line: string,
  options: GenerateFlags,
  { stdout, stderr, signal }: Pick<Context, "stdout" | "stderr" | "signal">,
): Promise<void> {
  side.messages.push({ role: "user", content: line });
  const room = side.model.runtime.ropeTable.shape[0] - options.maxNewTokens;
  let prompt = encodeChat(side.tokenizer!, side.messages);
  let forgotten = 0;
  for (; prompt.length > room && side.messages.length > 1; forgotten += 2) {
    side.messages.splice(0, 2); // the oldest question with its answer
    prompt = encodeChat(side.tokenizer!, side.messages);
  }
  if (forgotten > 0) stderr.write(`(${forgotten} oldest messages forgotten, for want of room)\n`);
  const write = (text: string) => stdout.write(harmless(text));
  const { completion } = await answer(side, prompt, options, { signal }, write);
  stdout.write("\n");
  side.messages.push({ role: "assistant", content: spoken(side, completion) });
}
