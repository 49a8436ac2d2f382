/// <reference lib="deno.worker" />
/** Encodes portions of examples; see encoder_pool.ts. */
import { encodeExample, type EncodeOptions } from "../data/encode.ts";
import type { TextTokenizer } from "../text/tokenizer.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { EncoderMessage } from "./encoder_pool.ts";
import { openDirectory } from "./files.ts";

let ready: Promise<{ tokenizer: TextTokenizer | null; options: EncodeOptions }>;

self.onmessage = async ({ data }: MessageEvent<EncoderMessage>) => {
  if ("directory" in data) {
    const { directory, options } = data;
    ready = openDirectory(directory).then(loadTokenizer)
      .then((tokenizer) => ({ tokenizer, options }));
    ready.catch(() => {}); // met by every portion
    return;
  }
  try {
    const { tokenizer, options } = await ready;
    const encoded = data.examples.map((example) => encodeExample(example, tokenizer, options));
    const buffers = encoded.flatMap(({ sequences }) => sequences.map(({ ids }) => ids.buffer));
    self.postMessage(encoded, buffers);
  } catch {
    // Whoever asked encodes the portion itself, and meets the same error at its row.
    self.postMessage(null);
  }
};
