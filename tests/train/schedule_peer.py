"""The learning rates of transformers' schedulers, for tests/train/schedule_test.ts."""
import json
import math
import sys

import torch
import transformers


def steps_of(steps, total):
    return math.ceil(steps * total) if steps < 1 else steps


def rates(schedule):
    total = schedule["totalSteps"]
    warmup = steps_of(schedule["warmupSteps"], total)
    decay = steps_of(schedule["lrDecaySteps"], total)
    name = schedule["type"]
    if name == "constant" and warmup > 0:
        name = "constant_with_warmup"  # the plain one has none
    kwargs = {
        "cosine_with_min_lr": {"min_lr_rate": schedule["minLrRate"]},
        "polynomial": {"power": schedule["lrPower"]},
        "warmup_stable_decay": {
            "num_stable_steps": total - warmup - decay,
            "num_decay_steps": decay,
            "min_lr_ratio": schedule["minLrRate"],
        },
    }.get(name)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=schedule["learningRate"])
    scheduler = transformers.get_scheduler(name, optimizer, warmup, total, scheduler_specific_kwargs=kwargs)
    found = []
    for _ in range(total):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


schedules = json.load(sys.stdin)
print(json.dumps({"version": transformers.__version__, "rates": [rates(each) for each in schedules]}))
