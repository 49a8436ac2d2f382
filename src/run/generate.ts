// This module is browser compatible.
import type { Resolved } from "../config/resolve.ts";
import { UserError } from "../errors.ts";
import type { Emit } from "./events.ts";
import type { Ports } from "./ports.ts";
import { type Answer, answer, answerOf, encodePrompt, openSpeaker } from "./speaker.ts";

/**
 * Answers the prompt that the options have.
 *
 * @throws {UserError} If there is none, or options and model do not fit together.
 */
export async function generate(
  { options }: Resolved<"generate">,
  ports: Ports,
  emit: Emit,
): Promise<Answer> {
  if (options.prompt === null && options.promptIds === null) {
    throw new UserError("Expected a prompt or promptIds to continue, found neither");
  }
  const device = await ports.openDevice(options);
  using _gpu = device.gpu;
  let prompt: number[] = [];
  const { model: path } = options;
  const speaker = await openSpeaker(path, options, device, { ports, emit }, ({ tokenizer }) => {
    prompt = encodePrompt(options, tokenizer, path);
    return prompt.length + options.maxNewTokens;
  });
  const { completion } = await answer(speaker, prompt, options, ports);
  return answerOf(speaker, completion);
}
