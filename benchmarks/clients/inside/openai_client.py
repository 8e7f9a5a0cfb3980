"""The official client: generating."""

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any, Literal

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("openai",)
QUESTION = "Tell me the latency of Yolutus-11."
ASKED = [{"role": "user", "content": QUESTION}]


def connect(server: "Server") -> Any:
    """Any: requests here are written as people write them, without the client's types."""
    return OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)


class Weather(BaseModel):
    city: Literal["Paris", "Oslo", "Lima"]
    degrees: int = Field(ge=-40, le=50)
    rain: bool


WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo", "Lima"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
FORCED = {"type": "function", "function": {"name": "get_weather"}}


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
        return answer.choices[0].message.content

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


def chat_json(server: "Server") -> None:
    """chat: response_format json_object"""
    answer = connect(server).chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "Answer in JSON: the weather of Oslo."}],
        response_format={"type": "json_object"},
        max_tokens=300,
    )
    choice = answer.choices[0]
    if choice.finish_reason == "stop":  # a tiny model may ramble within JSON until it is cut
        assert isinstance(json.loads(choice.message.content), dict)
    assert choice.message.content.lstrip().startswith("{")


def chat_parse(server: "Server") -> None:
    """chat: completions.parse (json_schema from pydantic)"""
    answer = connect(server).chat.completions.parse(
        model=server.model,
        messages=[{"role": "user", "content": "The weather of Oslo."}],
        response_format=Weather,
    )
    assert isinstance(answer.choices[0].message.parsed, Weather), answer


def chat_tools(server: "Server") -> None:
    """chat: tools, forced by name and by required, and their results sent back"""
    client = connect(server)
    messages = [{"role": "user", "content": "What is the weather of Oslo?"}]
    for choice in (FORCED, "required"):
        answer = client.chat.completions.create(
            model=server.model, messages=messages, tools=[WEATHER_TOOL], tool_choice=choice
        )
        message = answer.choices[0].message
        call = message.tool_calls[0]
        assert call.type == "function" and call.id and call.function.name == "get_weather"
        assert json.loads(call.function.arguments)["city"] in ("Paris", "Oslo", "Lima")
    told = client.chat.completions.create(
        model=server.model,
        messages=[
            *messages,
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "4 degrees, rain"},
        ],
        tools=[WEATHER_TOOL],
        tool_choice="none",
        max_tokens=16,
    )
    assert told.choices[0].message.content and not told.choices[0].message.tool_calls
    left = client.chat.completions.create(
        model=server.model, messages=messages, tools=[WEATHER_TOOL], max_tokens=16
    )
    assert left.choices[0].finish_reason in ("stop", "length", "tool_calls")


def chat_tools_stream(server: "Server") -> None:
    """chat: tools, streamed and parsed (pydantic_function_tool)"""
    with connect(server).chat.completions.stream(
        model=server.model,
        messages=[{"role": "user", "content": "What is the weather of Oslo?"}],
        tools=[openai.pydantic_function_tool(Weather, name="weather")],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    ) as stream:
        kinds = {event.type for event in stream}
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert "tool_calls.function.arguments.done" in kinds, kinds
    assert isinstance(call.function.parsed_arguments, Weather)


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


def responses(server: "Server") -> None:
    """responses: create, instructions, items as input"""
    client = connect(server)
    answer = client.responses.create(
        model=server.model,
        instructions="Be brief.",
        input=QUESTION,
        max_output_tokens=20,
        temperature=0,
    )
    assert answer.status in ("completed", "incomplete") and answer.output_text
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    again = client.responses.create(
        model=server.model,
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
            *(item.model_dump(exclude_none=True) for item in answer.output),
            {"role": "user", "content": "And its price?"},
        ],
        max_output_tokens=20,
    )
    assert again.output_text


def responses_stream(server: "Server") -> None:
    """responses: streamed, and by the stream helper"""
    client = connect(server)
    events = list(
        client.responses.create(
            model=server.model, input=QUESTION, max_output_tokens=20, stream=True
        )
    )
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert events[0].type == "response.created"
    assert events[-1].type in ("response.completed", "response.incomplete")
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text and text == events[-1].response.output_text
    with client.responses.stream(
        model=server.model, input=QUESTION, max_output_tokens=20
    ) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == text


def responses_parse(server: "Server") -> None:
    """responses: parse (json_schema), a forced function tool"""
    client = connect(server)
    parsed = client.responses.parse(
        model=server.model, input="The weather of Oslo.", text_format=Weather
    )
    assert isinstance(parsed.output_parsed, Weather)
    tool = {"type": "function", **WEATHER_TOOL["function"], "strict": True}
    called = client.responses.create(
        model=server.model,
        input="The weather of Oslo?",
        tools=[tool],
        tool_choice={"type": "function", "name": "get_weather"},
    )
    call = next(item for item in called.output if item.type == "function_call")
    assert call.name == "get_weather" and call.call_id
    told = client.responses.create(
        model=server.model,
        input=[
            {"role": "user", "content": "The weather of Oslo?"},
            call.model_dump(exclude_none=True),
            {"type": "function_call_output", "call_id": call.call_id, "output": "4 degrees"},
        ],
        tools=[tool],
        max_output_tokens=20,
    )
    assert told.status in ("completed", "incomplete")


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
    models,
    chat,
    chat_stream,
    chat_stream_helper,
    chat_choices,
    chat_stop,
    chat_logprobs,
    chat_bias,
    chat_penalties,
    chat_json,
    chat_parse,
    chat_tools,
    chat_tools_stream,
    completions,
    completions_logprobs,
    completions_echo,
    embeddings,
    responses,
    responses_stream,
    responses_parse,
    errors,
    timeouts,
    asynchronous,
)
