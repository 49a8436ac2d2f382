// This module is browser compatible.

/**
 * What transformers takes from the files beside `tokenizer.json`: special tokens, tokens that only they add, and whether
 * texts begin with one. Checked against `PreTrainedTokenizerFast` of transformers 4.47; 5 differs where files contradict.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { describe, isObject } from "../../formats/json.ts";
import type { AddedToken } from "./added_tokens.ts";
import { Component } from "./component.ts";
import { addedTokenOf } from "./pipeline.ts";

/** The files, empty where there are none. */
export interface Companions {
  /** tokenizer_config.json */
  config: Record<string, unknown>;
  /** special_tokens_map.json */
  specials: Record<string, unknown>;
  /** added_tokens.json */
  added: Record<string, unknown>;
  /** config.json */
  model: Record<string, unknown>;
  /** The directory, as messages call it. */
  name: string;
}

const CONFIG = "tokenizer_config.json";
const SPECIAL_TOKENS = "special_tokens_map.json";

/** A special token, and the file that describes it by an object; null where it is only named. */
type SpecialToken = AddedToken & { described: string | null };
const NAMED = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((name) => `${name}_token`);

/** What a class of transformers knows without being told. */
interface TokenizerClass {
  tokens: Record<string, string>;
  /** Whether `add_bos_token` decides over what texts begin with, whatever `tokenizer.json` says. */
  decidesBegin: boolean;
}

const LLAMA: TokenizerClass = {
  tokens: { unk_token: "<unk>", bos_token: "<s>", eos_token: "</s>" },
  decidesBegin: true,
};
const END_OF_TEXT = "<|endoftext|>";
const GPT: Record<string, string> = {
  unk_token: END_OF_TEXT,
  bos_token: END_OF_TEXT,
  eos_token: END_OF_TEXT,
};
const CLASSES: Record<string, TokenizerClass> = {
  LlamaTokenizer: LLAMA,
  CodeLlamaTokenizer: LLAMA,
  GemmaTokenizer: {
    tokens: { unk_token: "<unk>", bos_token: "<bos>", eos_token: "<eos>", pad_token: "<pad>" },
    decidesBegin: true,
  },
  CohereTokenizer: {
    tokens: {
      unk_token: "<UNK>",
      bos_token: "<BOS_TOKEN>",
      eos_token: "<|END_OF_TURN_TOKEN|>",
    },
    decidesBegin: true,
  },
  GPTNeoXTokenizer: { tokens: GPT, decidesBegin: true },
  GPT2Tokenizer: { tokens: GPT, decidesBegin: false },
  Qwen2Tokenizer: {
    tokens: { unk_token: END_OF_TEXT, eos_token: END_OF_TEXT, pad_token: END_OF_TEXT },
    decidesBegin: false,
  },
};
/** Classes of models that do not name one. */
const CLASS_OF_MODEL: Record<string, string> = {
  llama: "LlamaTokenizer",
  mistral: "LlamaTokenizer",
  qwen2: "Qwen2Tokenizer",
  qwen3: "Qwen2Tokenizer",
};

/** The special tokens with a name, such as `eos_token`, and which tokens to add to those of `tokenizer.json`. */
export class SpecialTokens {
  readonly #class: TokenizerClass | undefined;
  /** tokenizer_config.json, and special_tokens_map.json where that still counts. */
  readonly #settings: Record<string, unknown>;

  constructor(readonly files: Companions) {
    const { config, specials, model } = files;
    const named = config.tokenizer_class ?? model.tokenizer_class ??
      CLASS_OF_MODEL[String(model.model_type)];
    this.#class = CLASSES[String(named).replace(/Fast$/, "")];
    // transformers does not look at special_tokens_map.json where the configuration lists the added tokens.
    const merged = { ...config, ...specials };
    merged.additional_special_tokens = [config, specials]
      .flatMap(({ additional_special_tokens }) => additional_special_tokens ?? []);
    this.#settings = this.#listsTokens ? config : merged;
  }

  get #listsTokens(): boolean {
    return isObject(this.files.config.added_tokens_decoder);
  }

  /** The content of a special token; null if it has none. */
  named(name: string): string | null {
    const value = this.#settings[name];
    // A file that is not looked at may still say what the other leaves out.
    const text = tokenText(value) ??
      (value === undefined ? tokenText(this.files.specials[name]) : null);
    return text;
  }

  /** What the tokenizer's class calls a token that no file names. */
  byClass(name: string): string | null {
    const isSilent = !(name in this.#settings) && !(name in this.files.specials);
    return isSilent ? this.#class?.tokens[name] ?? null : null;
  }

  /** Tokens to add, in transformers' order; those that are there already may become special by it. */
  tokensToAdd(own: readonly unknown[]): AddedToken[] {
    const { config, added, name } = this.files;
    const specials = this.#specials();
    const contents = new Set(specials.map(({ content }) => content));
    const listed: [number, AddedToken][] = [];
    const isOwn = (content: string) =>
      own.some((token) => isObject(token) && token.content === content);
    if (this.#listsTokens) {
      const list = config.added_tokens_decoder as Record<string, unknown>;
      for (const [id, json] of Object.entries(list)) {
        listed.push([Number(id), this.#read(json, `added_tokens_decoder["${id}"]`, CONFIG)]);
      }
    } else {
      // What tokenizer_config.json describes by an object does not count as special here.
      const byName = new Set(
        this.#values().filter(([value, where]) => value !== config[where] || !isObject(value))
          .map(([value]) => tokenText(value)),
      );
      for (const [content, id] of Object.entries(added)) {
        if (!Number.isSafeInteger(id)) {
          throw new UserError(
            `Cannot use ${name}/added_tokens.json: expected an id per token, found ${describe(id)}`,
          );
        }
        listed.push([Number(id), plainToken(content, byName.has(content))]);
      }
      for (const json of own.filter(isObject)) {
        listed.push([Number(json.id), this.#read(json, "added_tokens", "tokenizer.json")]);
      }
    }
    const byId = new Map(listed.sort(([a], [b]) => a - b));
    const first = [...byId.values()].map((token) => ({
      ...token,
      special: token.special || contents.has(token.content),
    }));
    const listedFirst = new Set(first.map(({ content }) => content));
    const rest = specials.filter(({ content, described }) => {
      if (this.#listsTokens ? listedFirst.has(content) : isOwn(content)) return false;
      // What an object describes counts more than added_tokens.json or tokenizer.json.
      return described !== null || !listedFirst.has(content) && !isOwn(content);
    });
    return [...first, ...rest.map(({ described: _, ...token }) => token)];
  }

  /** What stands for special tokens, and under which name. */
  #values(): [unknown, string][] {
    const settings = this.#settings;
    const extra = settings.extra_special_tokens ?? [];
    const under = (where: string, values: unknown[]) =>
      values.filter((value) => value !== null && value !== undefined)
        .map((value): [unknown, string] => [value, where]);
    return [
      ...NAMED.flatMap((name) => under(name, [settings[name]])),
      ...under("additional_special_tokens", [settings.additional_special_tokens].flat()),
      ...under("extra_special_tokens", isObject(extra) ? Object.values(extra) : [extra].flat()),
    ];
  }

  /** Every special token, once. */
  #specials(): SpecialToken[] {
    const { config } = this.files;
    const tokens = new Map<string, SpecialToken>();
    for (const [value, where] of this.#values()) {
      const described = !isObject(value) ? null : value === config[where] ? CONFIG : SPECIAL_TOKENS;
      const token = typeof value === "string"
        ? plainToken(value, true)
        : this.#read(value, where, CONFIG);
      if (token.content === "" || tokens.has(token.content)) continue;
      tokens.set(token.content, { ...token, special: true, described });
    }
    return [...tokens.values()];
  }

  #read(json: unknown, where: string, file: string): AddedToken {
    const path = `${this.files.name}/${file}`;
    if (!isObject(json)) {
      throw new UserError(
        `Cannot use ${path}: expected ${where} to hold tokens, found ${describe(json)}`,
      );
    }
    const isSpecial = /special_tokens|_token$/.test(where);
    return addedTokenOf(new Component(json, path, where), isSpecial);
  }

  /** Whether texts begin with the begin token; null where `tokenizer.json` decides. */
  get addsBegin(): boolean | null {
    const { add_bos_token } = this.files.config;
    return this.#class?.decidesBegin && typeof add_bos_token === "boolean" ? add_bos_token : null;
  }

  /** Whether special tokens within a text count as text. */
  get splits(): boolean {
    return this.files.config.split_special_tokens === true;
  }
}

function plainToken(content: string, special: boolean): AddedToken {
  const flags = { singleWord: false, lstrip: false, rstrip: false };
  return { content, ...flags, normalized: !special, special };
}

/** A special token is a string or an object with its `content`. */
function tokenText(value: unknown): string | null {
  const text = isObject(value) ? value.content : value;
  return typeof text === "string" ? text : null;
}
