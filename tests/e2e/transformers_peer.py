"""Says what Hugging Face transformers makes of model directories.

Reads {"models": [{"directory", "texts", "chats", "sequences"}]} from stdin and writes one answer per model to stdout, as
JSON: what did not fit when loading, every tensor's SHA-256 as f32, rotary frequencies, token ids of the texts, the
rendered chats, the logits of every position of the token sequences, and every tensor's gradient of the next-token loss of
the last one, in float64. Exits with 3 if a library is missing.

On Debian 12 the libraries come with

    apt-get install --no-install-recommends python3-torch python3-venv
    /usr/bin/python3 -m venv --system-site-packages peer
    peer/bin/pip install -r tests/peers.txt

and are found with peer/bin first in PATH.
"""

import hashlib
import json
import sys

import torch
import transformers


def answer(request):
    directory = request["directory"]
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        directory, torch_dtype="auto", output_loading_info=True
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    dtype = str(model.dtype)
    model = model.float().eval()
    with torch.no_grad():
        logits = [model(torch.tensor([ids])).logits[0].tolist() for ids in request["sequences"]]
    state = {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in model.state_dict().items()
    }
    rotary = next(module for module in model.modules() if hasattr(module, "inv_freq"))
    frequencies = rotary.inv_freq.tolist()
    ids = torch.tensor([request["sequences"][-1]])
    model.double()(ids, labels=ids).loss.backward()
    return {
        "misfits": {key: sorted(map(str, value)) for key, value in loading.items() if value},
        "dtype": dtype,
        "tied": model.lm_head.weight is model.model.embed_tokens.weight,
        "sha256": state,
        "inverse_frequencies": frequencies,
        "ids": [tokenizer.encode(text, add_special_tokens=False) for text in request["texts"]],
        "rendered": [
            tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            for chat in request["chats"]
        ],
        "logits": logits,
        "gradients": {name: p.grad.flatten().tolist() for name, p in model.named_parameters()},
    }


transformers.logging.set_verbosity_error()
answers = [answer(request) for request in json.load(sys.stdin)["models"]]
versions = {"torch": torch.__version__, "transformers": transformers.__version__}
json.dump({"versions": versions, "models": answers}, sys.stdout)
