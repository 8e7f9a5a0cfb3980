"""Tools that cannot be offered are a 400 that names what is wrong."""

import asyncio

import openai
import pytest

from tests.cluster.gateway.fake_router import world

pytestmark = pytest.mark.live

NOW = {"type": "function", "function": {"name": "now"}}
NAMED = {"type": "function", "function": {"name": "weather"}}
USER = {"role": "user", "content": "hi"}


def run(test) -> None:
    async def main() -> None:
        async with world() as w:
            await test(w)

    asyncio.run(main())


TEXT = {"type": "string", "maxLength": 2}


def with_id(name: str) -> dict:
    schema = {"properties": {"a": {"$ref": "b"}}, "$defs": {"B": {"$id": "b", "const": name}}}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


BAD = [
    ("tools[0].function is missing", {"tools": [{"type": "function"}]}),
    ("tools[0].function.name is missing", {"tools": [{"type": "function", "function": {}}]}),
    (
        "tools[0].function.name is 'a b'",
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
    ),
    ("two functions 'now'", {"tools": [NOW, NOW]}),
    ("tools has 129 entries", {"tools": [NOW] * 129}),
    ("tool_choice is 'any'", {"tools": [NOW], "tool_choice": "any"}),
    ("tool_choice names 'weather'", {"tools": [NOW], "tool_choice": NAMED}),
    (
        "tool_choice.function.name is missing",
        {"tools": [NOW], "tool_choice": {"type": "function", "function": {}}},
    ),
    ("tool_choice is 'required'", {"tool_choice": "required"}),
    ("tools[1].type is 'web_search'", {"tools": [NOW, {"type": "web_search"}]}),
    ("parallel_tool_calls is 1", {"tools": [NOW], "parallel_tool_calls": 1}),
    (
        "parameters is []",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
    ),
    (
        "tools[0].function.parameters.type is 'string': it must be 'object'",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": TEXT}}]},
    ),
    (
        "tools[1].function.parameters has the $id 'b' of another tool's",
        {"tools": [*map(with_id, "fg")], "tool_choice": "required"},
    ),
    (
        "messages[0].tool_calls[0].function.name is missing",
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {}}]}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("words", "body"), BAD)
def test_what_is_wrong_is_named(words, body):
    async def test(w):
        answer = await w.chat(**body)
        assert answer.status_code == 400 and words in answer.json()["error"]["message"], answer.text

    run(test)


def test_a_schema_that_is_too_deep_is_refused():
    schema: dict = {}
    for _ in range(120):
        schema = {"properties": {"a": schema}}
    deep = {"type": "function", "function": {"name": "f", "parameters": schema}}

    async def test(w):
        with pytest.raises(openai.BadRequestError, match="nested too deeply"):
            await w.openai.chat.completions.create(
                model="perfuse-tiny", messages=[USER], tools=[deep]
            )

    run(test)
