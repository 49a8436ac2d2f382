"""Renders conversations as Hugging Face transformers does.

Reads {"directory", "tokens", "templates", "conversations", "tools"?, "variables"?} from stdin: any model directory with a tokenizer, and the
special tokens to give it; tools per conversation, and what templates may name besides. Writes {"version", "rendered"} to stdout: per template and conversation the text without and with the
opening of an answer, or null where the template objects. Exits with 3 if a library is missing; tests/peers.txt names them.
"""

import json
import sys

import jinja2
import transformers

request = json.load(sys.stdin)
tokenizer = transformers.AutoTokenizer.from_pretrained(request["directory"])
for name, token in request["tokens"].items():
    setattr(tokenizer, name, token)


def render(template, conversation, tools, opening):
    try:
        return tokenizer.apply_chat_template(
            conversation,
            tools=tools,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=opening,
            **request.get("variables", {}),
        )
    except (jinja2.exceptions.TemplateError, *STRAY_ERRORS):
        return None


# What expressions of templates raise as Python's do.
STRAY_ERRORS = (TypeError, ValueError, ZeroDivisionError, AttributeError, KeyError, OverflowError)
conversations = request["conversations"]
tools = request.get("tools", [None] * len(conversations))
rendered = [
    [[render(template, *both, opening) for opening in (False, True)] for both in zip(conversations, tools)]
    for template in request["templates"]
]
json.dump({"version": transformers.__version__, "rendered": rendered}, sys.stdout)
