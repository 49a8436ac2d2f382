import { loadTokenizer, type TextTokenizer } from "../../src/text/tokenizer.ts";
import { MemoryDirectory } from "../formats/memory_directory.ts";

/** ChatML as the SmolLM Instruct models have it, without a default system turn. */
export const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Ids of the tokenizer below that tests name. */
export const END = 0, IM_START = 1, IM_END = 2;

/**
 * The files of a byte-level tokenizer: ids 0 to 2 are special, then come space, line break, escape and the printable
 * characters of ASCII, then what `merges` make. All other bytes are missing.
 */
export function byteTokenizerFiles(merges: string[] = [], config = {}): Record<string, string> {
  const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i));
  const special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
  const tokens = [
    ...special,
    "Ġ",
    "Ċ",
    "ě",
    ...printable,
    ...merges.map((merge) => merge.replace(" ", "")),
  ];
  const definition = {
    version: "1.0",
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      unk_token: null,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  return {
    "tokenizer.json": JSON.stringify(definition),
    "tokenizer_config.json": JSON.stringify({
      tokenizer_class: "PreTrainedTokenizerFast",
      bos_token: "<|endoftext|>",
      eos_token: "<|endoftext|>",
      chat_template: CHATML,
      ...config,
    }),
  };
}

/** The tokenizer of `byteTokenizerFiles`, loaded. */
export async function byteTokenizer(merges: string[] = [], config = {}): Promise<TextTokenizer> {
  return (await loadTokenizer(new MemoryDirectory(byteTokenizerFiles(merges, config))))!;
}
