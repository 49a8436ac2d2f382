"""Says what Hugging Face's tokenizers, in Rust, make of texts.

Reads {"files": [...], "texts": [...]} from stdin, files named tokenizer.json; writes {"version", "answers": [{"ids", "texts"}]}
to stdout: per file the ids of every text without special tokens added, and what these ids decode to. Exits with 3 if the
library is missing; tests/peers.txt names it.
"""

import json
import sys

import tokenizers


def answer(file, texts):
    tokenizer = tokenizers.Tokenizer.from_file(file)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    return {"ids": ids, "texts": tokenizer.decode_batch(ids, skip_special_tokens=False)}


request = json.load(sys.stdin)
answers = [answer(file, request["texts"]) for file in request["files"]]
json.dump({"version": tokenizers.__version__, "answers": answers}, sys.stdout)
