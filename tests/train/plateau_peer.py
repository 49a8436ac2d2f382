"""The learning rates of PyTorch's ReduceLROnPlateau, for tests/train/plateau_test.ts."""
import json
import sys

import torch

answers = []
for case in json.load(sys.stdin):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=case["learningRate"])
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="max" if case["greater"] else "min",
        factor=case["lrFactor"],
        patience=case["lrPatience"],
        threshold=case["lrThreshold"],
        threshold_mode=case["lrThresholdMode"],
        cooldown=case["lrCooldown"],
        min_lr=case["minLr"],
    )
    rates = []
    for value in case["values"]:
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    answers.append(rates)
print(json.dumps(answers))
