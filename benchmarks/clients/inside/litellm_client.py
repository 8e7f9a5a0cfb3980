"""litellm, as people call a server of their own: openai/NAME with api_base."""

import json
from typing import TYPE_CHECKING, Any

import litellm
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("litellm", "openai")
ASKED = [{"role": "user", "content": "Tell me the latency of Yolutus-11."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}},
            "required": ["city"],
        },
    },
}


class Answer(BaseModel):
    degrees: int = Field(ge=-40, le=50)
    rain: bool


def where(server: "Server", provider: str = "openai") -> dict[str, Any]:
    return {
        "model": f"{provider}/{server.model}",
        "api_base": server.url,
        "api_key": "none",
        "num_retries": 0,
        "timeout": 60,
    }


def completion(server: "Server") -> None:
    """completion, with token usage"""
    for provider in ("openai", "hosted_vllm"):
        answer: Any = litellm.completion(
            messages=ASKED, max_tokens=16, temperature=0, seed=1, **where(server, provider)
        )
        assert answer.choices[0].message.content
        usage = answer.usage
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0


def stream(server: "Server") -> None:
    """completion: streamed, with usage"""
    chunks: Any = litellm.completion(
        messages=ASKED,
        max_tokens=16,
        stream=True,
        stream_options={"include_usage": True},
        **where(server),
    )
    said = list(chunks)
    whole: Any = litellm.stream_chunk_builder(said, messages=ASKED)
    assert whole.choices[0].message.content
    assert said[-1].usage.completion_tokens > 0


async def asynchronous(server: "Server") -> None:
    """acompletion: whole and streamed"""
    answer: Any = await litellm.acompletion(messages=ASKED, max_tokens=16, **where(server))
    chunks: Any = await litellm.acompletion(
        messages=ASKED, max_tokens=16, stream=True, **where(server)
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
    assert text == answer.choices[0].message.content


def text_completion(server: "Server") -> None:
    """text_completion"""
    answer: Any = litellm.text_completion(
        prompt="The latency", max_tokens=8, **where(server, "text-completion-openai")
    )
    assert answer.choices[0].text


def embedding(server: "Server") -> None:
    """embedding"""
    answer: Any = litellm.embedding(input=["hello world", "goodbye"], **where(server))
    assert len(answer.data) == 2 and answer.data[0]["embedding"]


def context(server: "Server") -> None:
    """ContextWindowExceededError"""
    long = [{"role": "user", "content": "word " * 4000}]
    for provider in ("openai", "hosted_vllm"):
        try:
            litellm.completion(messages=long, **where(server, provider))
        except litellm.ContextWindowExceededError:
            continue
        raise AssertionError("it was accepted")


def errors(server: "Server") -> None:
    """NotFoundError, BadRequestError"""
    for change, right in (
        ({"model": "openai/no-such-model"}, litellm.NotFoundError),
        ({"temperature": 9}, litellm.BadRequestError),
    ):
        try:
            litellm.completion(**{"messages": ASKED} | where(server) | change)
        except right:
            continue
        raise AssertionError(f"{change} was accepted")


def tools(server: "Server") -> None:
    """tools: forced, and the result sent back"""
    forced = {"type": "function", "function": {"name": "get_weather"}}
    answer: Any = litellm.completion(
        messages=ASKED, tools=[TOOL], tool_choice=forced, **where(server)
    )
    message = answer.choices[0].message
    call = message.tool_calls[0]
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Oslo")
    told: Any = litellm.completion(
        messages=[*ASKED, message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}],
        tools=[TOOL],
        tool_choice="none",
        max_tokens=16,
        **where(server),
    )
    assert told.choices[0].message.content


def structured(server: "Server") -> None:
    """response_format: a pydantic model"""
    answer: Any = litellm.completion(
        messages=[{"role": "user", "content": "The weather of Oslo in JSON."}],
        response_format=Answer,
        **where(server),
    )
    Answer.model_validate_json(answer.choices[0].message.content)


def responses(server: "Server") -> None:
    """responses"""
    answer: Any = litellm.responses(
        input="Tell me the latency of Yolutus-11.", max_output_tokens=16, **where(server)
    )
    assert answer.output[0].content[0].text


FEATURES = (
    completion,
    stream,
    asynchronous,
    text_completion,
    embedding,
    context,
    errors,
    tools,
    structured,
    responses,
)
