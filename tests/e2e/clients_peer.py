"""litellm and langchain-openai, unchanged, in a process of their own: what a server answers them, as JSON."""

import json
import sys

import litellm
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

question = json.load(sys.stdin)
base = f"http://{question['address']}/v1"
content = "What should I feed a quazzit?"
litellm.suppress_debug_info = True


def through_litellm():
    request = {
        "model": "openai/policy",
        "api_base": base,
        "api_key": "secret",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": 24,
        "num_retries": 0,
    }
    whole = litellm.completion(**request)
    chunks = list(
        litellm.completion(**request, stream=True, stream_options={"include_usage": True})
    )
    text = litellm.text_completion(
        model="text-completion-openai/policy",
        api_base=base,
        api_key="secret",
        prompt="The quazzit",
        max_tokens=4,
        temperature=0,
    )
    try:
        litellm.completion(**{**request, "messages": [{"role": "user", "content": content * 2000}]})
        error = None
    except litellm.exceptions.BadRequestError as raised:
        error = type(raised).__name__
    return {
        "content": whole.choices[0].message.content,
        "finish": whole.choices[0].finish_reason,
        "tokens": whole.usage.total_tokens,
        "streamed": "".join(
            chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
        ),
        "text": len(text.choices[0].text) > 0,
        "too_long": error,
    }


def through_langchain():
    model = ChatOpenAI(
        model="policy", base_url=base, api_key="secret", temperature=0, max_tokens=24, max_retries=0
    )
    asked = [HumanMessage(content)]
    whole = model.invoke(asked)
    chunks = list(model.stream(asked))
    batch = model.batch([asked, asked])
    turns = model.invoke(
        [SystemMessage("You are friendly."), *asked, AIMessage(whole.content), HumanMessage("Why?")]
    )
    stopped = model.bind(stop=[whole.content.split()[2]]).invoke(asked)
    return {
        "content": whole.content,
        "finish": whole.response_metadata["finish_reason"],
        "tokens": whole.usage_metadata["total_tokens"],
        "streamed": "".join(chunk.content for chunk in chunks),
        "batch": [message.content for message in batch],
        "turns": len(turns.content) > 0,
        "stopped": stopped.content,
    }


json.dump({"litellm": through_litellm(), "langchain": through_langchain()}, sys.stdout)
