"""Writes muon.json: what torch.optim.Muon makes of matrices in three steps, for muon_test.ts.

PyTorch takes Newton-Schulz steps in bfloat16; here they and all else are float64, so that the numbers are those of the
formula. Needs PyTorch 2.9 or later:

    python3 tests/kernels/muon_peer.py > tests/kernels/muon.json
"""
import json
from unittest import mock

import torch

generator = torch.Generator().manual_seed(1)


def numbers(*shape):
    """Exact in float32, and short in the file."""
    return torch.randint(-512, 513, shape, generator=generator).double() / 256


cases = []
for shape, options in [
    ((3, 7), {}),
    ((7, 3), {"adjust_lr_fn": "match_rms_adamw"}),
    ((7, 3), {"momentum": 0.5, "weight_decay": 0.0}),
    ((5, 5), {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.3}),
    ((1, 4), {}),
    ((4, 1), {}),
]:
    options = {"lr": 0.05, "momentum": 0.95, "weight_decay": 0.1, "adjust_lr_fn": "original", **options}
    weight = torch.nn.Parameter(numbers(*shape))
    optimizer = torch.optim.Muon([weight], **options)
    before = weight.tolist()
    gradients = [numbers(*shape) for _ in range(3)]
    after = []
    with mock.patch.object(torch, "bfloat16", torch.float64):
        for gradient in gradients:
            weight.grad = gradient
            optimizer.step()
            after.append(weight.tolist())
    cases.append({
        **options,
        "before": before,
        "gradients": [gradient.tolist() for gradient in gradients],
        "after": after,
    })
lines = ",\n".join(json.dumps(case) for case in cases)
print(f'{{"torch": "{torch.__version__.split("+")[0]}", "cases": [\n{lines}\n]}}')
