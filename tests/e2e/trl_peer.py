"""Trains with TRL's DPOTrainer, in f32 on the CPU, rows in their order, and says what it met.

Reads {"model", "dataset", "steps", "arguments"} from stdin: a model directory, a file of {"prompt", "chosen", "rejected"} in
text, the step to end after, and what goes to DPOConfig. Writes {"versions", "rows", "steps"} to stdout: the token ids of every row, and what TRL logs of every
step. Exits with 3 if a library is missing.

On Debian 12 the libraries come with

    apt-get install --no-install-recommends python3-torch python3-venv
    /usr/bin/python3 -m venv --system-site-packages peer
    peer/bin/pip install -r tests/peers.txt

and are found with peer/bin first in PATH.
"""

import json
import sys
import tempfile

import datasets
import torch
import transformers
import trl
from trl import DPOConfig, DPOTrainer


class InOrder(DPOTrainer):
    """Takes the rows as they come; transformers has no option for that."""

    def _get_train_sampler(self):
        return torch.utils.data.SequentialSampler(self.train_dataset)


class EndAfter(transformers.TrainerCallback):
    """Ends the training early, on the schedule of the whole."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, args, state, control, **others):
        control.should_training_stop = state.global_step >= self.steps


transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()
request = json.load(sys.stdin)
# What TRL prints is not part of the answer.
answer_to, sys.stdout = sys.stdout, sys.stderr
with open(request["dataset"], encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
columns = ["prompt", "chosen", "rejected"]
with tempfile.TemporaryDirectory() as directory:
    trainer = InOrder(
        model=transformers.AutoModelForCausalLM.from_pretrained(request["model"], torch_dtype=torch.float32),
        processing_class=transformers.AutoTokenizer.from_pretrained(request["model"]),
        train_dataset=datasets.Dataset.from_list([{key: row[key] for key in columns} for row in rows]),
        args=DPOConfig(
            output_dir=directory,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **request["arguments"],
        ),
        callbacks=[EndAfter(request["steps"])],
    )
    trainer.train()
steps = [line for line in trainer.state.log_history if "rewards/margins" in line]
tokens = [
    {key: row[f"{key}_input_ids"] for key in columns} for row in trainer.train_dataset.to_list()
]
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}
json.dump({"versions": versions, "rows": tokens, "steps": steps}, answer_to)
