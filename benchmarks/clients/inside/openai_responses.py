"""The official client: responses."""

from typing import TYPE_CHECKING, Any, Literal

from openai import OpenAI
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("openai",)
QUESTION = "Tell me the latency of Yolutus-11."


def connect(server: "Server") -> Any:
    """Any: requests here are written as people write them, without the client's types."""
    return OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)


class Weather(BaseModel):
    city: Literal["Paris", "Oslo", "Lima"]
    degrees: int = Field(ge=-40, le=50)
    rain: bool


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
    tool = {
        "type": "function",
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo", "Lima"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    }
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


FEATURES = (
    responses,
    responses_stream,
    responses_parse,
)
