"""The official client: structured output and tools in chats."""

import json
from typing import TYPE_CHECKING, Any, Literal

import openai
from openai import OpenAI
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("openai",)


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


FEATURES = (
    chat_json,
    chat_parse,
    chat_tools,
    chat_tools_stream,
)
