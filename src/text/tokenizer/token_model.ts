// This module is browser compatible.
import { isObject } from "../../formats/json.ts";
import { BPE } from "./bpe.ts";
import { Component } from "./component.ts";
import { Unigram } from "./unigram.ts";
import type { TokenModel } from "./vocabulary.ts";
import { WordLevel, WordPiece } from "./words.ts";

const MODELS = { BPE, Unigram, WordPiece, WordLevel };

/**
 * The `model` of `tokenizer.json`.
 *
 * @throws {UserError} If its type or an option is not known to give what Hugging Face's tokenizers give.
 */
export function tokenModelOf(component: Component): TokenModel {
  const { json, file, where } = component;
  const type = json.type ?? typeOf(json);
  if (!(type as string in MODELS)) return component.refuseType(Object.keys(MODELS));
  const typed = new Component({ ...json, type }, file, where);
  const model = new MODELS[type as keyof typeof MODELS](typed);
  typed.end();
  return model;
}

/** Old files do not say what their model is. */
function typeOf(json: Readonly<Record<string, unknown>>): string | undefined {
  if (Array.isArray(json.merges)) return "BPE";
  if (Array.isArray(json.vocab)) return "Unigram";
  if (!isObject(json.vocab)) return undefined;
  return "continuing_subword_prefix" in json ? "WordPiece" : "WordLevel";
}
