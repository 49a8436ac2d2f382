// This module is browser compatible.

import { UserError } from "../errors.ts";
import type { Directory } from "../formats/files.ts";
import { isObject, readJsonObject } from "../formats/json.ts";
import { beginIdsOf } from "./tokenizer/begin_tokens.ts";
import { type Companions, SpecialTokens } from "./tokenizer/companions.ts";
import { Component } from "./tokenizer/component.ts";
import { TokenPipeline } from "./tokenizer/pipeline.ts";

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
const ADDED_TOKENS = "added_tokens.json";
const MODEL = "config.json";
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
  const definition = await readJsonObject(directory, TOKENIZER);
  const config = await optional(CONFIG);
  const chatTemplate = await directory.has(CHAT_TEMPLATE)
    ? await directory.readText(CHAT_TEMPLATE)
    : defaultTemplate(config.chat_template);
  const companions = {
    config,
    specials: await optional(SPECIAL_TOKENS),
    added: await optional(ADDED_TOKENS),
    model: await optional(MODEL),
    name: directory.name,
  };
  return wrap(definition, companions, chatTemplate);
}

function wrap(
  definition: Record<string, unknown>,
  companions: Companions,
  chatTemplate: string | null,
): TextTokenizer {
  const file = `${companions.name}/${TOKENIZER}`;
  const specials = new SpecialTokens(companions);
  const own = Array.isArray(definition.added_tokens) ? definition.added_tokens : [];
  const pipeline = new TokenPipeline(
    definition,
    file,
    specials.tokensToAdd(own),
    specials.splits,
  );
  const special = (name: string) => {
    const fallback = specials.byClass(name);
    return specials.named(name) ??
      (fallback !== null && pipeline.id(fallback) !== undefined ? fallback : null);
  };
  const id = (token: string | null) => token === null ? null : pipeline.id(token) ?? null;
  const [bosToken, eosToken, padToken] = ["bos_token", "eos_token", "pad_token"].map(special);
  const bosTokenId = id(bosToken);
  return {
    encode: (text) => pipeline.encode(text),
    decode: (ids) => pipeline.decode(ids),
    token: (id) => pipeline.token(id) ?? "",
    vocabSize: pipeline.size,
    prefixIds: prefixIds(definition.post_processor, file, specials.addsBegin, bosTokenId),
    specialIds: pipeline.added.specialIds,
    bosTokenId,
    eosTokenId: id(eosToken),
    padTokenId: id(padToken),
    bosToken,
    eosToken,
    padToken,
    chatTemplate,
  };
}

function prefixIds(
  postProcessor: unknown,
  file: string,
  addsBegin: boolean | null,
  bosTokenId: number | null,
): number[] {
  const ids = isObject(postProcessor)
    ? beginIdsOf(new Component(postProcessor, file, "post_processor"))
    : [];
  if (addsBegin === null) return ids;
  return addsBegin && bosTokenId !== null ? [bosTokenId] : [];
}

/** A chat template is a string or a list of named ones. */
function defaultTemplate(value: unknown): string | null {
  const named = Array.isArray(value)
    ? value.find(({ name }) => name === "default")?.template
    : value;
  return typeof named === "string" ? named : null;
}
