"""lm-evaluation-harness, unchanged, with a server as its model: what it measures, as JSON.

Reads {"address", "tokenizer", "rows", "folder"} from stdin: rows of {"question", "answers", "right"} to choose and to answer,
and a folder for what it keeps on the way. Writes what its tasks measure, with the token ids of what they asked. Exits with 3
if it is missing.
"""

import json
import os
import pathlib
import sys

question = json.load(sys.stdin)
folder = pathlib.Path(question["folder"])
os.environ["HF_HOME"] = str(folder)
os.environ["OPENAI_API_KEY"] = "secret"

import lm_eval
import lm_eval.models.openai_completions
import lm_eval.tasks

rows = folder / "rows.jsonl"
rows.write_text("".join(json.dumps(row) + "\n" for row in question["rows"]))
DATA = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(rows)}}, "test_split": "test"}
TASKS = [
    {
        "task": "choose",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{answers}}",
        "doc_to_target": "{{right}}",
        "target_delimiter": "",
    },
    {
        "task": "continue",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answers[right]}}",
        "generation_kwargs": {"until": ["."], "max_gen_toks": 24, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    },
    {
        "task": "read",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{answers[right]}}",
        "metric_list": [{"metric": "word_perplexity"}],
    },
]

model = lm_eval.models.openai_completions.LocalCompletionsAPI(
    model="policy",
    base_url=f"http://{question['address']}/v1/completions",
    tokenizer=question["tokenizer"],
    num_concurrent=4,
    max_length=256,
    max_retries=1,
)
results = lm_eval.simple_evaluate(
    model=model,
    tasks=[{**DATA, **task} for task in TASKS],
    bootstrap_iters=0,
    log_samples=True,
)




def choices():
    """Every answer that a question has."""
    for sample in results["samples"]["choose"]:
        for (context, continuation), [(logprob, greedy)] in zip(sample["arguments"], sample["resps"]):
            prompt_ids, ids = model._encode_pair(context, continuation)
            yield {"prompt_ids": prompt_ids, "ids": ids, "logprob": float(logprob), "greedy": greedy}


def readings():
    """Every right answer, after the token that a text begins with."""
    for sample in results["samples"]["read"]:
        [text] = sample["arguments"][0]
        ids = model.tok_encode(text)
        yield {"prompt_ids": [model.prefix_token_id], "ids": ids, "logprob": float(sample["resps"][0][0])}


json.dump(
    {
        "version": lm_eval.__version__,
        "accuracy": results["results"]["choose"]["acc,none"],
        "choices": list(choices()),
        "readings": list(readings()),
        "continuations": [sample["resps"][0][0] for sample in results["samples"]["continue"]],
    },
    sys.stdout,
)
