"""Says how Hugging Face transformers continues prompts greedily.

Reads {"directory", "prompts", "new_tokens"} from stdin, prompts as token ids, and writes the new token ids of each prompt
to stdout as JSON, the end token included. Exits with 3 if a library is missing; transformers_peer.py says how to get them.
"""

import json
import sys

import torch
import transformers

transformers.logging.set_verbosity_error()
request = json.load(sys.stdin)
model = transformers.AutoModelForCausalLM.from_pretrained(request["directory"], torch_dtype=torch.float32).eval()


def continuation(prompt):
    """What generate() does with do_sample=False; its module needs a newer torch than Debian 12's."""
    ids = list(prompt)
    while len(ids) < len(prompt) + request["new_tokens"]:
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == model.config.eos_token_id:
            break
    return ids[len(prompt) :]


with torch.no_grad():
    json.dump([continuation(prompt) for prompt in request["prompts"]], sys.stdout)
