"""instructor: from_openai in the modes that people use."""

from typing import TYPE_CHECKING, Any, Literal

import instructor
from instructor.core.exceptions import InstructorRetryException
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("instructor", "openai")
ASKED = [{"role": "user", "content": "Oslo has 4 degrees and rain."}]


class Weather(BaseModel):
    city: Literal["Paris", "Oslo"]
    degrees: int = Field(ge=-40, le=50)
    rain: bool


def client(server: "Server", mode: Any) -> Any:
    plain = OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)
    return instructor.from_openai(plain, mode=mode)


def ask(server: "Server", mode: Any) -> None:
    answer = client(server, mode).chat.completions.create(
        model=server.model, messages=ASKED, response_model=Weather, max_retries=1, max_tokens=200
    )
    assert isinstance(answer, Weather)


def tools(server: "Server") -> None:
    """Mode.TOOLS"""
    ask(server, instructor.Mode.TOOLS)


def tools_strict(server: "Server") -> None:
    """Mode.TOOLS_STRICT"""
    ask(server, instructor.Mode.TOOLS_STRICT)


def json_schema(server: "Server") -> None:
    """Mode.JSON_SCHEMA"""
    ask(server, instructor.Mode.JSON_SCHEMA)


def json_mode(server: "Server") -> None:
    """Mode.JSON: the answer is JSON (whether it is of the schema is the model's)"""
    chat = client(server, instructor.Mode.JSON).chat.completions
    try:
        answer = chat.create(
            model=server.model,
            messages=ASKED,
            response_model=Weather,
            max_retries=0,
            max_tokens=200,
        )
    except InstructorRetryException as error:
        # A tiny model's JSON is of no schema: instructor says so, with the completion.
        completion = error.last_completion
        assert completion.choices[0].message.content.lstrip().startswith("{"), error
    else:
        assert isinstance(answer, Weather)


def partial(server: "Server") -> None:
    """create_partial (streamed), create_with_completion"""
    chat = client(server, instructor.Mode.TOOLS).chat.completions
    parts = list(chat.create_partial(model=server.model, messages=ASKED, response_model=Weather))
    assert parts[-1].city in ("Paris", "Oslo")
    answer, completion = chat.create_with_completion(
        model=server.model, messages=ASKED, response_model=Weather
    )
    assert isinstance(answer, Weather) and completion.usage.total_tokens > 0


async def asynchronous(server: "Server") -> None:
    """AsyncOpenAI"""
    plain = AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)
    asked: Any = instructor.from_openai(plain, mode=instructor.Mode.JSON_SCHEMA)
    answer = await asked.chat.completions.create(
        model=server.model, messages=ASKED, response_model=Weather, max_tokens=200
    )
    assert isinstance(answer, Weather)


FEATURES = (tools, tools_strict, json_schema, json_mode, partial, asynchronous)
