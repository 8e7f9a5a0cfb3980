"""The official client: completions, embeddings, errors, and how it connects."""

import asyncio
import math
from typing import TYPE_CHECKING, Any

import openai
from openai import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("openai",)
QUESTION = "Tell me the latency of Yolutus-11."
ASKED = [{"role": "user", "content": QUESTION}]


def connect(server: "Server") -> Any:
    """Any: requests here are written as people write them, without the client's types."""
    return OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)


def completions(server: "Server") -> None:
    """completions: a list of prompts, n, token ids, streamed"""
    client = connect(server)
    answer = client.completions.create(
        model=server.model,
        prompt=["The latency", "The price"],
        max_tokens=8,
        n=2,
        temperature=1,
        seed=3,
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    by_ids = client.completions.create(model=server.model, prompt=[70, 71, 72], max_tokens=4)
    assert by_ids.usage.prompt_tokens == 3
    whole = client.completions.create(model=server.model, prompt="The latency", max_tokens=8)
    stream = client.completions.create(
        model=server.model, prompt="The latency", max_tokens=8, stream=True
    )
    text = "".join(choice.text for chunk in stream for choice in chunk.choices)
    assert text == whole.choices[0].text


def completions_logprobs(server: "Server") -> None:
    """completions: logprobs"""
    answer = connect(server).completions.create(
        model=server.model, prompt="The latency of", max_tokens=4, logprobs=2
    )
    choice, told = answer.choices[0], answer.choices[0].logprobs
    assert "".join(told.tokens).startswith(choice.text)
    for token, offset in zip(told.tokens, told.text_offset, strict=True):
        assert choice.text[offset:].startswith(token)
    assert all(value <= 0 for value in told.token_logprobs)


def completions_echo(server: "Server") -> None:
    """completions: echo"""
    client = connect(server)
    prompts = ["The latency of", "The price of"]
    plain = client.completions.create(model=server.model, prompt=prompts, max_tokens=4)
    echoed = client.completions.create(model=server.model, prompt=prompts, max_tokens=4, echo=True)
    assert [choice.text for choice in echoed.choices] == [
        prompt + choice.text for prompt, choice in zip(prompts, plain.choices, strict=True)
    ]


def embeddings(server: "Server") -> None:
    """embeddings: one, many, base64 and floats, token ids"""
    client = connect(server)
    one = client.embeddings.create(model=server.model, input="hello world")
    floats = client.embeddings.create(
        model=server.model, input=["hello world", "goodbye"], encoding_format="float"
    )
    assert len(floats.data) == 2 and [entry.index for entry in floats.data] == [0, 1]
    pairs = zip(one.data[0].embedding, floats.data[0].embedding, strict=True)
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in pairs)
    assert floats.data[0].embedding != floats.data[1].embedding
    assert floats.usage.prompt_tokens > one.usage.prompt_tokens > 0
    by_ids = client.embeddings.create(model=server.model, input=[[70, 71, 72], [80]])
    assert len(by_ids.data) == 2


def errors(server: "Server") -> None:
    """errors: context length, unknown model, bad parameter"""
    client = connect(server)
    cases = (
        ({"messages": [{"role": "user", "content": "a b " * 4000}]}, "context_length_exceeded"),
        ({"model": "no-such-model"}, "model_not_found"),
        ({"temperature": 9}, "invalid_request_error"),
    )
    for change, code in cases:
        arguments = {"model": server.model, "messages": ASKED} | change
        try:
            client.chat.completions.create(**arguments)
        except (openai.BadRequestError, openai.NotFoundError) as error:
            right = openai.NotFoundError if code == "model_not_found" else openai.BadRequestError
            assert isinstance(error, right) and error.code == code, error
            assert error.type and error.request_id
        else:
            raise AssertionError(f"{change} was accepted")


def timeouts(server: "Server") -> None:
    """timeouts and retries, raw and streaming responses"""
    client = connect(server)
    try:
        client.with_options(timeout=1e-4, max_retries=1).chat.completions.create(
            model=server.model, messages=ASKED
        )
    except openai.APITimeoutError:
        pass
    else:
        raise AssertionError("no time was enough")
    raw = client.chat.completions.with_raw_response.create(
        model=server.model, messages=ASKED, max_tokens=4
    )
    assert raw.headers["x-request-id"] and raw.parse().choices
    with client.chat.completions.with_streaming_response.create(
        model=server.model, messages=ASKED, max_tokens=4
    ) as streaming:
        assert b"choices" in streaming.read()


async def asynchronous(server: "Server") -> None:
    """async: eight at once, streamed, one left in the middle"""
    made: Any = AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0)
    async with made as client:

        async def one(number: int) -> str:
            stream = await client.chat.completions.create(
                model=server.model,
                messages=[{"role": "user", "content": f"Question {number}: {QUESTION}"}],
                max_tokens=16,
                stream=True,
            )
            texts = [c.delta.content or "" async for chunk in stream for c in chunk.choices]
            return "".join(texts)

        assert all(await asyncio.gather(*(one(number) for number in range(8))))
        left = await client.chat.completions.create(
            model=server.model, messages=ASKED, max_tokens=400, stream=True
        )
        async for _ in left:
            break
        await left.close()
        assert await one(9)


FEATURES = (
    completions,
    completions_logprobs,
    completions_echo,
    embeddings,
    errors,
    timeouts,
    asynchronous,
)
