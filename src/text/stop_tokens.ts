// This module is browser compatible.
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { describe, readJsonObject } from "../formats/json.ts";
import type { TextTokenizer } from "./tokenizer.ts";

/** Settings of generation that come with a model. */
export const GENERATION_CONFIG = "generation_config.json";

/**
 * The ids that end a completion: those of `config.json`, those of `generation_config.json` and the tokenizer's own. Models
 * that were tuned for conversations often name the end of a turn in one of the three only.
 *
 * @param directory Where the model's configuration and tokenizer are.
 * @param config.vocabSize Ids from here on are left out: the model cannot write them.
 * @throws {UserError} If `generation_config.json` is malformed.
 */
export async function readStopIds(
  directory: Directory,
  { eosTokenIds, vocabSize }: { eosTokenIds: readonly number[]; vocabSize: number },
  tokenizer: TextTokenizer | null,
): Promise<number[]> {
  const generation = await directory.has(GENERATION_CONFIG)
    ? await readJsonObject(directory, GENERATION_CONFIG)
    : {};
  const named = [generation.eos_token_id ?? []].flat();
  const wrong = named.find((id) => !Number.isSafeInteger(id) || Number(id) < 0);
  if (wrong !== undefined) {
    throw new UserError(
      `${directory.name}/${GENERATION_CONFIG}: expected "eos_token_id" to be token ids, found ${
        describe(wrong)
      }`,
    );
  }
  const own = tokenizer?.eosTokenId ?? null;
  const ids = new Set([...eosTokenIds, ...named.map(Number), ...own === null ? [] : [own]]);
  return [...ids].filter((id) => id < vocabSize);
}
