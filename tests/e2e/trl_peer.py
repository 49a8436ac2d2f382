"""Trains with TRL's DPOTrainer or KTOTrainer, in f32 on the CPU, rows in their order, and says what it met.

Reads {"model", "dataset", "trainer", "steps", "arguments"} from stdin: a model directory, a file of rows in text, "dpo" or "kto",
the step to end after or null, and what goes to the trainer's configuration. Writes {"versions", "rows", "steps"} to stdout: the
token ids of every pair, where the trainer keeps them under the names of TRL 0.13, and what TRL logs of every step. Exits with 3 if
a library is missing.

On Debian 12 the libraries come with

    apt-get install --no-install-recommends python3-torch python3-venv
    /usr/bin/python3 -m venv --system-site-packages peer
    peer/bin/pip install -r tests/peers.txt

and are found with peer/bin first in PATH. These are TRL 0.13, which PyTorch of Debian allows; TRL 1.16 comes with

    python3 -m venv peer && peer/bin/pip install trl==1.16.0 torch
"""

import json
import sys
import tempfile

import datasets
import torch
import transformers
import trl

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()
request = json.load(sys.stdin)
# What TRL prints is not part of the answer.
answer_to, sys.stdout = sys.stdout, sys.stderr
trainer_class, config_class = {
    "dpo": (trl.DPOTrainer, trl.DPOConfig),
    "kto": (trl.KTOTrainer, trl.KTOConfig),
}[request["trainer"]]


class InOrder(trainer_class):
    """Takes the rows as they come; transformers has no option for that."""

    def _get_train_sampler(self, *others):
        return torch.utils.data.SequentialSampler(self.train_dataset)


class EndAfter(transformers.TrainerCallback):
    """Ends the training early, on the schedule of the whole."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, args, state, control, **others):
        if self.steps is not None:
            control.should_training_stop = state.global_step >= self.steps


is_recent = not trl.__version__.startswith("0.")
# What differs between the two versions; neither changes a number in f32.
recent = {"bf16": False, "gradient_checkpointing": False}
former = {"remove_unused_columns": False} if request["trainer"] == "kto" else {}
dtype = {"dtype" if is_recent else "torch_dtype": torch.float32}
with open(request["dataset"], encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
with tempfile.TemporaryDirectory() as directory:
    trainer = InOrder(
        model=transformers.AutoModelForCausalLM.from_pretrained(request["model"], **dtype),
        processing_class=transformers.AutoTokenizer.from_pretrained(request["model"]),
        train_dataset=datasets.Dataset.from_list(rows),
        args=config_class(
            output_dir=directory,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **(recent if is_recent else former),
            **request["arguments"],
        ),
        callbacks=[EndAfter(request["steps"])],
    )
    trainer.train()
steps = [line for line in trainer.state.log_history if "loss" in line]
tokens = [
    {name: row[f"{name}_input_ids"] for name in ["prompt", "chosen", "rejected"]}
    for row in trainer.train_dataset.to_list()
    if "chosen_input_ids" in row
]
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}
json.dump({"versions": versions, "rows": tokens, "steps": steps}, answer_to)
