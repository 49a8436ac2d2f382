"""Writes PyTorch files of many kinds, for this project to read.

Reads {"directory", "tensors": {name: shape}} from stdin, with the tensors of a small untied Llama, writes files into the
directory, and writes to stdout, as JSON, for each file the SHA-256 of every tensor as contiguous f32. Exits with 3 if
PyTorch is missing; tests/e2e/transformers_peer.py says how to install it.
"""

import collections
import hashlib
import json
import os
import sys

import torch

request = json.load(sys.stdin)
torch.manual_seed(1)
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
base = collections.OrderedDict(
    (name, torch.randn(*shape) * 0.1) for name, shape in request["tensors"].items()
)
answers = {}


def save(file, state, wrap=lambda state: state, rename=lambda name: name, **options):
    named = collections.OrderedDict((rename(name), tensor) for name, tensor in state.items())
    torch.save(wrap(named), os.path.join(request["directory"], file), **options)
    answers[file] = {
        name: hashlib.sha256(tensor.detach().float().contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in state.items()
    }


def strided(tensor):
    """The same numbers as a view of something larger, transposed."""
    if tensor.dim() != 2:
        return torch.stack([tensor, tensor * 2], dim=1)[:, 0]
    larger = torch.zeros(tensor.shape[1] + 3, tensor.shape[0] + 2)
    view = larger[2:-1, 1:-1].t()
    view.copy_(tensor)
    return view


def changed(change):
    return collections.OrderedDict((name, change(tensor)) for name, tensor in base.items())


tied = collections.OrderedDict(base)
tied[HEAD] = tied[EMBEDDING]
without_head = collections.OrderedDict((name, base[name]) for name in base if name != HEAD)

save("untied.pth", base)
save("tied.pth", tied)
save("without_head.bin", without_head)
save("bf16.pth", changed(lambda tensor: tensor.bfloat16()))
save("f16.pth", changed(lambda tensor: tensor.half()))
save("f64.pt", changed(lambda tensor: tensor.double()))
save("strided.pth", changed(strided))
save("parameters.pth", changed(torch.nn.Parameter))
save("parallel.pth", base, rename=lambda name: "module." + name)
save("protocol4.pth", base, pickle_protocol=4)

optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2, 2))])
optimizer.param_groups[0]["params"][0].sum().backward()
optimizer.step()
save(
    "checkpoint.pth",
    base,
    wrap=lambda state: {
        "epoch": 3,
        "loss": 0.5,
        "model_state_dict": state,
        "optimizer": optimizer.state_dict(),
        "note": "é",
        "large": 1 << 70,
    },
)


class Hostile:
    def __reduce__(self):
        return os.system, ("echo harm",)


save("hostile.pth", base, wrap=lambda state: {"model": state, "extra": Hostile()})
save("module.pth", base, wrap=lambda state: torch.nn.Linear(2, 2))
save("legacy.pth", base, _use_new_zipfile_serialization=False)
json.dump({"version": torch.__version__, "files": answers}, sys.stdout)
