// This module is browser compatible.

import { Tokenizer } from "@huggingface/tokenizers"; // the published BPE in plain JavaScript, instead of 1,500 lines of ours
import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { isObject, readJsonObject } from "../formats/json.ts";
import { correctPreTokenizer } from "./pre_tokenizer.ts";

/** A model's tokenizer, as its directory describes it. */
export interface TextTokenizer {
  /** Token ids of `text`. Special tokens in the text count as such; none are added. */
  encode(text: string): number[];
  /** The text of `ids`, special tokens included. Bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string;
  /** How the vocabulary spells the token `id`: in GPT-2's byte alphabet for byte-level tokenizers, "" if unknown. */
  token(id: number): string;
  /** One more than the largest id. */
  vocabSize: number;
  /** What the tokenizer puts in front of a text: the beginning-of-text token, or nothing. */
  prefixIds: number[];
  /** Tokens that mark something, such as the end of a turn, and are no part of a text. */
  specialIds: ReadonlySet<number>;
  bosTokenId: number | null;
  eosTokenId: number | null;
  padTokenId: number | null;
  bosToken: string | null;
  eosToken: string | null;
  padToken: string | null;
  /** The Jinja template that turns messages into text. */
  chatTemplate: string | null;
}

const TOKENIZER = "tokenizer.json";
const CONFIG = "tokenizer_config.json";
const SPECIAL_TOKENS = "special_tokens_map.json";
const CHAT_TEMPLATE = "chat_template.jinja";

/**
 * Loads the tokenizer of a model directory from `tokenizer.json` and its companions.
 *
 * @returns null if the directory has no tokenizer.
 * @throws {UserError} If a file is malformed or if the tokenizer is there in another format only.
 */
export async function loadTokenizer(directory: Directory): Promise<TextTokenizer | null> {
  if (!await directory.has(TOKENIZER)) {
    for (const file of ["tokenizer.model", "vocab.json", "tokenizer_config.json"]) {
      if (await directory.has(file)) {
        throw new UserError(
          `Cannot load the tokenizer of ${directory.name}: expected ${TOKENIZER}, found ${file} only; ` +
            `save it as a fast tokenizer with transformers`,
        );
      }
    }
    return null;
  }
  const optional = async (file: string) =>
    await directory.has(file) ? await readJsonObject(directory, file) : {};
  const config = await optional(CONFIG);
  const definition = await readJsonObject(directory, TOKENIZER);
  const specials = await optional(SPECIAL_TOKENS);
  const chatTemplate = await directory.has(CHAT_TEMPLATE)
    ? await directory.readText(CHAT_TEMPLATE)
    : defaultTemplate(config.chat_template);
  try {
    return wrap(definition, config, specials, chatTemplate);
  } catch (error) {
    throw new UserError(
      `Cannot load ${directory.name}/${TOKENIZER}: expected a tokenizer of Hugging Face's tokenizers, found ${
        (error as Error).message
      }`,
    );
  }
}

function wrap(
  definition: Record<string, unknown>,
  config: Record<string, unknown>,
  specials: Record<string, unknown>,
  chatTemplate: string | null,
): TextTokenizer {
  const model = isObject(definition.model) ? definition.model : {};
  const corrected = {
    ...definition,
    pre_tokenizer: correctPreTokenizer(definition.pre_tokenizer, model),
  };
  const tokenizer = new Tokenizer(corrected, config);
  const vocabulary = tokenizer.get_vocab();
  const encode = (text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids;
  const special = (name: string) => tokenText(config[name]) ?? tokenText(specials[name]);
  const id = (token: string | null) => token === null ? null : tokenizer.token_to_id(token) ?? null;
  const [bosToken, eosToken, padToken] = ["bos_token", "eos_token", "pad_token"].map(special);
  const bosTokenId = id(bosToken);
  return {
    encode,
    // The library refuses an empty list, but an empty completion is normal.
    decode: (ids) =>
      ids.length === 0
        ? ""
        : tokenizer.decode(Array.from(ids), { clean_up_tokenization_spaces: false }),
    token: (id) => tokenizer.id_to_token(id) ?? "",
    vocabSize: Math.max(-1, ...vocabulary.values()) + 1,
    prefixIds: prefixIds(tokenizer, config.add_bos_token, bosTokenId),
    specialIds: specialIds(definition.added_tokens),
    bosTokenId,
    eosTokenId: id(eosToken),
    padTokenId: id(padToken),
    bosToken,
    eosToken,
    padToken,
    chatTemplate,
  };
}

/** As in transformers, `add_bos_token` overrides what the post-processor of `tokenizer.json` says. */
function prefixIds(tokenizer: Tokenizer, addBos: unknown, bosTokenId: number | null): number[] {
  if (typeof addBos === "boolean") return addBos && bosTokenId !== null ? [bosTokenId] : [];
  const bare = tokenizer.encode("a", { add_special_tokens: false }).ids;
  const whole = tokenizer.encode("a", { add_special_tokens: true }).ids;
  const start = whole.indexOf(bare[0]);
  return whole.slice(0, Math.max(0, start));
}

function specialIds(addedTokens: unknown): Set<number> {
  const tokens = Array.isArray(addedTokens) ? addedTokens.filter(isObject) : [];
  return new Set(tokens.filter(({ special }) => special === true).map(({ id }) => Number(id)));
}

/** A special token is a string or an object with its `content`. */
function tokenText(value: unknown): string | null {
  const text = isObject(value) ? value.content : value;
  return typeof text === "string" ? text : null;
}

/** A chat template is a string or a list of named ones. */
function defaultTemplate(value: unknown): string | null {
  const named = Array.isArray(value)
    ? value.find(({ name }) => name === "default")?.template
    : value;
  return typeof named === "string" ? named : null;
}
