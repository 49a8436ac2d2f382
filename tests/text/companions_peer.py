"""Says what transformers makes of tokenizer directories.

Reads {"directories": [...], "texts": [...]} from stdin; writes {"version", "answers": [{"ids", "begin", "special"}]} to stdout:
per directory the ids of every text without special tokens added, those that come before a text with them added, and the
ids of special tokens; null where transformers refuses the directory. Exits with 3 if the library is missing;
tests/peers.txt names it.
"""

import json
import sys

import transformers

transformers.logging.set_verbosity_error()
request = json.load(sys.stdin)


def answer(directory):
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    except Exception:  # of many classes
        return None
    bare, whole = (tokenizer.encode("a", add_special_tokens=add) for add in (False, True))
    return {
        "ids": [tokenizer.encode(text, add_special_tokens=False) for text in request["texts"]],
        "begin": whole[: whole.index(bare[0])],
        "special": sorted(id for id, token in tokenizer.added_tokens_decoder.items() if token.special),
    }


answers = [answer(directory) for directory in request["directories"]]
json.dump({"version": transformers.__version__, "answers": answers}, sys.stdout)
