"""openai-agents: Agent and Runner with the Responses and the ChatCompletions model."""

from typing import TYPE_CHECKING, Any, Literal

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("openai-agents", "openai")
QUESTION = "Tell me the latency of Yolutus-11."
set_tracing_disabled(True)


class Weather(BaseModel):
    degrees: int = Field(ge=-40, le=50)
    rain: bool


@function_tool
def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def agent(server: "Server", kind: Any, **more: Any) -> Any:
    client = AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)
    settings = more.pop("settings", {})
    return Agent(
        name="Assistant",
        instructions="Be brief.",
        model=kind(model=server.model, openai_client=client),
        model_settings=ModelSettings(temperature=0, max_tokens=64, **settings),
        **more,
    )


async def plain(server: "Server", kind: Any) -> None:
    result = await Runner.run(agent(server, kind), QUESTION)
    assert result.final_output
    again = [*result.to_input_list(), {"role": "user", "content": "And its price?"}]
    assert (await Runner.run(agent(server, kind), again)).final_output


async def with_tool(server: "Server", kind: Any) -> None:
    asked = agent(server, kind, tools=[get_weather], settings={"tool_choice": "required"})
    result = await Runner.run(asked, "The weather of Oslo?")
    kinds = [item.type for item in result.new_items]
    assert kinds[:2] == ["tool_call_item", "tool_call_output_item"], kinds
    assert result.new_items[1].output.startswith("rain in ")


async def streamed(server: "Server", kind: Any) -> None:
    asked = agent(server, kind, tools=[get_weather], settings={"tool_choice": "required"})
    result = Runner.run_streamed(asked, "The weather of Oslo?")
    kinds = {event.type async for event in result.stream_events()}
    assert {"raw_response_event", "run_item_stream_event"} <= kinds
    assert result.final_output is not None


async def typed(server: "Server", kind: Any) -> None:
    result = await Runner.run(agent(server, kind, output_type=Weather), "The weather of Oslo?")
    assert isinstance(result.final_output, Weather)


async def responses(server: "Server") -> None:
    """Responses model: Runner.run, a conversation of two turns"""
    await plain(server, OpenAIResponsesModel)


async def responses_tool(server: "Server") -> None:
    """Responses model: a function tool, required"""
    await with_tool(server, OpenAIResponsesModel)


async def responses_streamed(server: "Server") -> None:
    """Responses model: run_streamed with a function tool"""
    await streamed(server, OpenAIResponsesModel)


async def responses_typed(server: "Server") -> None:
    """Responses model: output_type"""
    await typed(server, OpenAIResponsesModel)


async def chat(server: "Server") -> None:
    """ChatCompletions model: Runner.run, a conversation of two turns"""
    await plain(server, OpenAIChatCompletionsModel)


async def chat_tool(server: "Server") -> None:
    """ChatCompletions model: a function tool, required"""
    await with_tool(server, OpenAIChatCompletionsModel)


async def chat_streamed(server: "Server") -> None:
    """ChatCompletions model: run_streamed with a function tool"""
    await streamed(server, OpenAIChatCompletionsModel)


async def chat_typed(server: "Server") -> None:
    """ChatCompletions model: output_type"""
    await typed(server, OpenAIChatCompletionsModel)


FEATURES = (
    responses,
    responses_tool,
    responses_streamed,
    responses_typed,
    chat,
    chat_tool,
    chat_streamed,
    chat_typed,
)
