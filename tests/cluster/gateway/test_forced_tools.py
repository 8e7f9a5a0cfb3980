"""Calls that a chat forces, through the official client, before a scripted router."""

import json

import pytest

from tests.cluster.gateway.fake_router import constraint_of
from tests.cluster.gateway.schemas import accepts
from tests.cluster.gateway.test_tools import NAMED, NOW, SCHEMA, WEATHER, run, streamed

pytestmark = pytest.mark.live

CLOSED = {**SCHEMA, "additionalProperties": False}


def test_a_named_tool_is_forced_by_its_schema_and_its_arguments_are_streamed():
    pieces = ['{"ci', 'ty": "Zü', 'rich"}']

    async def test(w):
        made = (await w.chat(tools=[NOW, WEATHER], tool_choice=NAMED)).json()["choices"][0]
        (call,) = made["message"]["tool_calls"]
        assert call["function"] == {"name": "weather", "arguments": "".join(pieces)}
        assert made["finish_reason"] == "tool_calls" and made["message"]["content"] is None
        content, calls, reason, num = await streamed(w, tools=[NOW, WEATHER], tool_choice=NAMED)
        assert (content, reason, num) == ("", "tool_calls", 3)
        assert calls[0]["arguments"] == "".join(pieces)

    router = run(test, *pieces)
    for request in router.requests:
        constraint = constraint_of(request)
        assert constraint.kind == "json_schema" and json.loads(constraint.text) == CLOSED
        assert constraint.said_by == "tools[1].function.parameters"


def test_a_forced_call_that_max_tokens_cuts_is_told_as_cut():
    async def test(w):
        made = (await w.chat(tools=[WEATHER], tool_choice=NAMED)).json()["choices"][0]
        assert made["finish_reason"] == "length"
        assert made["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "Z'

    run(test, '{"city": "Z', reason="length")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [('[{"name":', None), ('[{"name": "now", "arg', ""), ('[{"name": "now", "arguments": {', "{")],
)
def test_a_required_call_that_max_tokens_cuts_is_no_content(text, arguments):
    body = {"tools": [WEATHER, NOW], "tool_choice": "required"}

    async def test(w):
        made = (await w.chat(**body)).json()["choices"][0]
        assert made["finish_reason"] == "length" and made["message"]["content"] is None
        calls = [call["function"] for call in made["message"].get("tool_calls", ())]
        told = [] if arguments is None else [{"name": "now", "arguments": arguments}]
        assert calls == told
        content, streamed_calls, reason, _ = await streamed(w, **body)
        assert (content, reason) == ("", "length")
        assert [call["arguments"] for call in streamed_calls.values()] == [
            one["arguments"] for one in told
        ]

    run(test, *text, reason="length")


def test_no_end_of_a_text_cuts_a_forced_call():
    async def test(w):
        for choice in (NAMED, "required"):
            body = {"tools": [WEATHER], "tool_choice": choice}
            assert (await w.chat(**body, stop=["xyz"], stop_token_ids=[7])).status_code == 200
        await w.chat(tools=[WEATHER], stop=["xyz"], stop_token_ids=[7])

    *forced, free = [request.sampling for request in run(test, "{}").requests]
    assert [(one.stop, one.stop_token_ids) for one in forced] == [((), ())] * 2
    assert (free.stop, free.stop_token_ids) == (("xyz",), (7,))


@pytest.mark.parametrize("parameters", [None, {}, {"properties": {}}, {"type": ["object", "null"]}])
def test_arguments_are_an_object_whatever_the_schema_says(parameters):
    function = {"name": "f"} if parameters is None else {"name": "f", "parameters": parameters}

    async def test(w):
        body = {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
        assert (await w.chat(**body)).status_code == 200

    router = run(test, "[]")
    schema = json.loads(constraint_of(router.requests[0]).text)["$defs"]["tool_0"]
    assert schema["type"] == "object"
    assert schema.get("additionalProperties", False) is False
    assert router.requests[0].tools[0]["function"] == function  # the template has it as it came


def test_required_tools_have_references_of_their_own():
    def function(name, value, **more):
        schema = {"properties": {"t": {"$ref": "#foo"}, "u": {"$ref": "#/$defs/A"}}, **more}
        schema["$defs"] = {"A": {"$anchor": "foo", "const": value}}
        return {"type": "function", "function": {"name": name, "parameters": schema}}

    async def test(w):
        for more in ({}, {"$id": "a"}):
            tools = [function("f", 1, **more), function("g", 2, **more)]
            made = await w.chat(tools=tools, tool_choice="required")
            assert made.status_code == 200, made.text

    for request in run(test, "[]").requests:
        constraint = constraint_of(request)
        for key in "tu":
            one, other = (f'[{{"name":"g","arguments":{{"{key}":{value}}}}}]' for value in (2, 1))
            assert accepts(constraint, one) and not accepts(constraint, other)


def test_required_is_a_list_of_calls_each_under_its_own_schema():
    nested = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/P"}, "$ref": {"const": {"$ref": "#"}}},
        "$defs": {"P": {"type": "object", "properties": {"next": {"$ref": "#/$defs/P"}}}},
    }
    place = {"type": "function", "function": {"name": "place", "parameters": nested}}
    text = '[{"name": "weather", "arguments": {"city": "Z"}}, {"name": "place", "arguments": {}}]'

    async def test(w):
        made = (await w.chat(tools=[WEATHER, place], tool_choice="required")).json()["choices"][0]
        names = [call["function"]["name"] for call in made["message"]["tool_calls"]]
        assert names == ["weather", "place"] and made["finish_reason"] == "tool_calls"
        body = {"tools": [WEATHER, place], "tool_choice": "required"}
        content, calls, _, _ = await streamed(w, **body)
        assert content == "" and [calls[i]["arguments"] for i in (0, 1)] == ['{"city": "Z"}', "{}"]
        await w.chat(**body, parallel_tool_calls=False, response_format={"type": "json_object"})

    router = run(test, *text)
    schema = json.loads(constraint_of(router.requests[0]).text)
    assert (schema["minItems"], schema["maxItems"]) == (1, 8)
    moved = schema["$defs"]["tool_1"]
    assert moved["properties"]["at"] == {"$ref": "#/$defs/tool_1/$defs/P"}
    assert moved["$defs"]["P"]["properties"]["next"] == {"$ref": "#/$defs/tool_1/$defs/P"}
    assert moved["properties"]["$ref"] == {"const": {"$ref": "#"}}  # a property, and data
    last = json.loads(constraint_of(router.requests[2]).text)
    assert last["maxItems"] == 1  # and the call comes before the format of text
