/**
 * Trying out chat templates. They are programs that come with a model, and their interpreter counts no steps: one that loops
 * for hours would hang the process. So each is tried once, at load, in a worker that can be ended.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { loadTokenizer, type TextTokenizer } from "../text/tokenizer.ts";

/** What the worker gets. */
export interface TemplateTrial {
  template: string;
  tokenizer: Pick<TextTokenizer, "bosToken" | "eosToken" | "padToken">;
}

/** Real templates take a few milliseconds. */
const DEADLINE_MS = 2000;

/**
 * Loads the tokenizer of a model directory, and tries its chat template.
 *
 * @returns null if the directory has no tokenizer.
 * @throws {UserError} As `loadTokenizer`, or if the template does not come to an end.
 */
export async function openTokenizer(directory: Directory): Promise<TextTokenizer | null> {
  const tokenizer = await loadTokenizer(directory);
  if (tokenizer?.chatTemplate != null) {
    await tryTemplate(tokenizer.chatTemplate, tokenizer, directory.name);
  }
  return tokenizer;
}

async function tryTemplate(
  template: string,
  { bosToken, eosToken, padToken }: TemplateTrial["tokenizer"],
  model: string,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const worker = new Worker(new URL("./chat_template_trial.ts", import.meta.url), {
    type: "module",
  });
  let deadline: ReturnType<typeof setTimeout> | undefined;
  worker.onmessage = ({ data }) => {
    if (data === "rendered") return resolve();
    worker.postMessage({ template, tokenizer: { bosToken, eosToken, padToken } });
    deadline = setTimeout(() => {
      reject(
        new UserError(
          `Cannot use the chat template of ${model}: expected it to render a conversation within ${DEADLINE_MS} ms, ` +
            "found it still at work; replace it, it may be hostile",
        ),
      );
    }, DEADLINE_MS);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new UserError(`Cannot use the chat template of ${model}: ${event.message}`));
  };
  try {
    await promise;
  } finally {
    clearTimeout(deadline);
    worker.terminate();
  }
}
