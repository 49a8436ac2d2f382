"""Says what Hugging Face's tokenizers, in Rust, make of texts.

Reads {"files": [...], "definitions": [...], "texts": [...]} from stdin: files named tokenizer.json, and contents of such
files; writes {"version", "answers": [{"ids", "texts"}]} to stdout: per file, then per content the ids of every text
without special tokens added, and what these ids decode to; null for a content that the library refuses or fails at. Exits with 3 if the library is missing; tests/peers.txt names it.
"""

import json
import sys

import tokenizers


def attempt(work):
    try:
        return work()
    except BaseException as error:  # panics of the library are no exceptions
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def answer(tokenizer, texts):
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    return {"ids": ids, "texts": tokenizer.decode_batch(ids, skip_special_tokens=False)}


def answer_content(definition):
    return answer(tokenizers.Tokenizer.from_str(json.dumps(definition)), request["texts"])


request = json.load(sys.stdin)
answers = [answer(tokenizers.Tokenizer.from_file(file), request["texts"]) for file in request.get("files", [])]
answers += [attempt(lambda: answer_content(definition)) for definition in request.get("definitions", [])]
json.dump({"version": tokenizers.__version__, "answers": answers}, sys.stdout)
