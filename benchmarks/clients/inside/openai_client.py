"""The official client: models and chats."""

import math
from typing import TYPE_CHECKING, Any

import openai
from openai import OpenAI

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("openai",)
QUESTION = "Tell me the latency of Yolutus-11."
ASKED = [{"role": "user", "content": QUESTION}]


def connect(server: "Server") -> Any:
    """Any: requests here are written as people write them, without the client's types."""
    return OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)


def models(server: "Server") -> None:
    """models: list, retrieve, NotFoundError"""
    client = connect(server)
    listed = [model.id for model in client.models.list()]
    assert server.model in listed, listed
    model = client.models.retrieve(server.model)
    assert model.object == "model" and model.owned_by and model.created > 0
    try:
        client.models.retrieve("no-such-model")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
    else:
        raise AssertionError("an unknown model was found")


def chat(server: "Server") -> None:
    """chat"""
    parts = [{"type": "text", "text": QUESTION}]
    client = connect(server)
    for content in (QUESTION, parts):
        answer = client.chat.completions.create(
            model=server.model,
            messages=[
                {"role": "system", "content": "Be brief.", "name": "rules"},
                {"role": "user", "content": content, "name": "ann"},
            ],
            max_completion_tokens=20,
            user="somebody",
            metadata={"purpose": "bench"},
        )
        choice = answer.choices[0]
        assert choice.message.role == "assistant" and choice.message.content
        assert choice.finish_reason in ("stop", "length")
        usage = answer.usage
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert answer._request_id


def chat_stream(server: "Server") -> None:
    """chat: streamed, with usage"""
    client = connect(server)
    whole = client.chat.completions.create(model=server.model, messages=ASKED, max_tokens=16)
    pieces, usage, ends = [], None, []
    for chunk in client.chat.completions.create(
        model=server.model,
        messages=ASKED,
        max_tokens=16,
        stream=True,
        stream_options={"include_usage": True},
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            ends += [choice.finish_reason] if choice.finish_reason else []
    assert "".join(pieces) == whole.choices[0].message.content
    assert ends == [whole.choices[0].finish_reason]
    assert usage is not None and usage.total_tokens == whole.usage.total_tokens


def chat_stream_helper(server: "Server") -> None:
    """chat: the stream helper with its events"""
    kinds = set()
    with connect(server).chat.completions.stream(
        model=server.model, messages=ASKED, max_tokens=16
    ) as stream:
        for event in stream:
            kinds.add(event.type)
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    assert final.choices[0].message.content


def chat_choices(server: "Server") -> None:
    """chat: n, seed, temperature, top_p"""

    def texts() -> list[str]:
        answer = connect(server).chat.completions.create(
            model=server.model,
            messages=ASKED,
            max_tokens=24,
            n=3,
            seed=7,
            temperature=2,
            top_p=0.99,
        )
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        return [choice.message.content for choice in answer.choices]

    first = texts()
    assert len(set(first)) > 1 and first == texts()


def chat_stop(server: "Server") -> None:
    """chat: stop"""
    client = connect(server)
    whole = client.chat.completions.create(model=server.model, messages=ASKED, max_tokens=24)
    text = whole.choices[0].message.content
    stop = text[len(text) // 2 :][:3]
    cut = client.chat.completions.create(
        model=server.model, messages=ASKED, max_tokens=24, stop=[stop, "never said"]
    )
    assert cut.choices[0].finish_reason == "stop"
    assert cut.choices[0].message.content == text[: text.index(stop)]


def chat_logprobs(server: "Server") -> None:
    """chat: logprobs, top_logprobs"""
    answer = connect(server).chat.completions.create(
        model=server.model, messages=ASKED, max_tokens=8, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    told = b"".join(bytes(token.bytes) for token in content)
    assert told.startswith(answer.choices[0].message.content.encode())
    for token in content:
        assert len(token.top_logprobs) == 3 and token.logprob <= 0
        assert math.isclose(token.logprob, token.top_logprobs[0].logprob, abs_tol=1e-4)


def chat_bias(server: "Server") -> None:
    """chat: logit_bias"""
    client = connect(server)

    def text(bias: dict[str, int]) -> str:
        answer = client.chat.completions.create(
            model=server.model, messages=ASKED, max_tokens=6, logit_bias=bias, temperature=0
        )
        return str(answer.choices[0].message.content)

    forced = text({"100": 100})
    assert len(forced) % 6 == 0 and forced == forced[: len(forced) // 6] * 6, forced
    assert text({"100": -100}) != forced


def chat_penalties(server: "Server") -> None:
    """chat: presence_penalty, frequency_penalty"""
    client = connect(server)

    def kinds(penalty: float) -> int:
        answer = client.chat.completions.create(
            model=server.model,
            messages=[{"role": "user", "content": "abc abc abc"}],
            max_tokens=64,
            presence_penalty=penalty,
            frequency_penalty=penalty,
            logprobs=True,
            extra_body={"ignore_eos": True},
        )
        return len({tuple(token.bytes) for token in answer.choices[0].logprobs.content})

    assert kinds(2.0) > kinds(0.0)


FEATURES = (
    models,
    chat,
    chat_stream,
    chat_stream_helper,
    chat_choices,
    chat_stop,
    chat_logprobs,
    chat_bias,
    chat_penalties,
)
