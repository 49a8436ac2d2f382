"""OpenAI's client for Python, unchanged, in a process of its own: what a server answers it, as JSON."""

import io
import json
import sys

import openai

question = json.load(sys.stdin)
client = openai.OpenAI(
    api_key="secret", base_url=f"http://{question['address']}/v1", max_retries=0
)
messages = [{"role": "user", "content": "What should I feed a quazzit?"}]
request = {"model": "policy", "messages": messages, "temperature": 0, "max_tokens": 24}


def status_of(action):
    try:
        action()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]
    return ["none"]


def answers():
    whole = client.chat.completions.create(**request, logprobs=True, top_logprobs=2)
    choice = whole.choices[0]
    streamed, usage = "", None
    for chunk in client.chat.completions.create(
        **request, stream=True, stream_options={"include_usage": True}
    ):
        streamed += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        usage = chunk.usage or usage
    drawn = [
        [
            each.text
            for each in client.completions.create(
                model="policy", prompt="The", n=2, seed=3, max_tokens=12
            ).choices
        ]
        for _ in range(2)
    ]
    word = choice.message.content.split()[2]
    stopped = client.chat.completions.create(**request, stop=[word]).choices[0]
    scored = client.completions.create(
        model="policy", prompt="The quazzit", echo=True, logprobs=2, max_tokens=0
    ).choices[0]
    return {
        "models": [model.id for model in client.models.list()],
        "content": choice.message.content,
        "logprobs": [
            len(token.top_logprobs) == 2 and token.logprob == token.top_logprobs[0].logprob
            for token in choice.logprobs.content
        ],
        "streamed": streamed == choice.message.content,
        "same_usage": usage == whole.usage,
        "repeated": drawn[0] == drawn[1],
        "differ": drawn[0][0] != drawn[0][1],
        "stopped": [stopped.finish_reason, stopped.message.content, word],
        "scored": [
            scored.text,
            scored.logprobs.token_logprobs[0],
            len(scored.logprobs.tokens) == len(scored.logprobs.token_logprobs),
        ],
    }


def errors():
    def chat(**wrong):
        return lambda: client.chat.completions.create(**{**request, **wrong})

    stranger = client.with_options(api_key="wrong")
    # As many sequences as the server takes in all: 8 in work for each of two models, 64 in its queue.
    full = client.completions.create(
        model="policy", prompt="The", n=80, max_tokens=400, stream=True
    )
    next(iter(full))
    too_many = status_of(chat())
    full.close()
    return [
        too_many,
        status_of(lambda: client.completions.create(model="policy", prompt="a" * (2 << 20))),
        status_of(stranger.models.list),
        status_of(chat(model="none")),
        status_of(chat(temperature=1.9, top_p=7)),
        status_of(lambda: client.files.retrieve("file-none")),
        status_of(lambda: client.models.delete("policy")),
    ]


# Seconds without any event after which a job hangs: its steps take a fraction of one on a slow machine.
SILENCE = 600


def wait_for(job):
    """Follows the events of a job, whose stream ends with it."""
    events = client.fine_tuning.jobs.with_streaming_response.list_events(
        job.id, extra_headers={"Accept": "text/event-stream"}, timeout=SILENCE
    )
    last = "nothing"
    try:
        with events as response:
            for line in response.iter_lines():
                last = line or last
    except Exception as error:
        # Of the client or of the library below it, which is another one in other versions.
        if "Timeout" not in type(error).__name__:
            raise
        sys.exit(f"{job.id} hangs: expected an event within {SILENCE} s, found none after {last}")
    if last != "data: [DONE]":
        sys.exit(f"{job.id}: expected its events to end with [DONE], found {last}")


def training():
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"Question {i}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"Sure! Answer {i}."}],
            "non_preferred_output": [{"role": "assistant", "content": "No."}],
        }
        for i in range(4)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    file = client.files.create(
        file=("mine.jsonl", io.BytesIO(text.encode())), purpose="fine-tune"
    )
    job = client.fine_tuning.jobs.create(
        model="policy",
        training_file=file.id,
        suffix="python",
        method={"type": "dpo", "dpo": {"hyperparameters": {"batch_size": 2, "n_epochs": 1}}},
        extra_body={"smoldpo": {"max_length": 64, "save_steps": 1}},
    )
    wait_for(job)
    job = client.fine_tuning.jobs.retrieve(job.id)
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    name = checkpoints[0].fine_tuned_model_checkpoint
    ask = lambda model: client.chat.completions.create(**{**request, "model": model})
    same = ask(name).choices == ask(job.fine_tuned_model).choices
    return {
        "status": job.status,
        "model": job.fine_tuned_model,
        "steps": [each.step_number for each in checkpoints],
        "same": same,
        "unloaded": client.models.delete(name).deleted,
        "file_gone": client.files.delete(file.id).deleted,
        "output": job.smoldpo["output"],
    }


print(json.dumps({"answers": answers(), "errors": errors(), "training": training()}))
