"""What /v1/responses cannot do is a 400 that names it."""

import asyncio

import pytest

from tests.cluster.gateway.fake_router import MODEL, world

pytestmark = pytest.mark.live

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
USER = {"role": "user", "content": "x"}
IMAGE = {"role": "user", "content": [{"type": "input_image"}]}
NO_ARGUMENTS = {"type": "function_call", "call_id": "a", "name": "f"}
OTHER = {"type": "function", "name": "x"}
BAD: list[tuple[str, dict]] = [
    ("input is missing", {"input": None}),
    ("input is []", {"input": []}),
    ("input[0] is 5", {"input": [5]}),
    ("input[0].role is 'tool'", {"input": [{"role": "tool", "content": "x"}]}),
    ("input[1].type is 'computer_call'", {"input": [USER, {"type": "computer_call"}]}),
    ("input[0].content[0].type is 'input_image'", {"input": [IMAGE]}),
    ("input[0].call_id is missing", {"input": [{"type": "function_call_output", "output": "x"}]}),
    ("input[0].arguments is missing", {"input": [NO_ARGUMENTS]}),
    ("background is true", {"background": True}),
    ("conversation is 'c'", {"conversation": "c"}),
    ("prompt is", {"prompt": {"id": "p"}}),
    ("truncation is 'auto'", {"truncation": "auto"}),
    ("top_logprobs is 3", {"top_logprobs": 3}),
    ("messages is not supported", {"messages": []}),
    ("max_tokens is not supported", {"max_tokens": 3}),
    ("n is not supported", {"n": 2}),
    ("no_such_field is not supported", {"no_such_field": 1}),
    ("tools[0].type is 'web_search'", {"tools": [{"type": "web_search"}]}),
    ("tools[1].type is 'web_search'", {"tools": [WEATHER, {"type": "web_search"}]}),
    ("tools[0].name is missing", {"tools": [{"type": "function"}]}),
    ("tool_choice names 'x'", {"tools": [WEATHER], "tool_choice": OTHER}),
    ("include names 'web_search_call.results'", {"include": ["web_search_call.results"]}),
    ("text.format.type is 'xml'", {"text": {"format": {"type": "xml"}}}),
    ("text.format.schema is", {"text": {"format": {"type": "json_schema", "name": "a"}}}),
    ("max_output_tokens is 0", {"max_output_tokens": 0}),
    ("metadata is", {"metadata": {"a": 1}}),
    ("reasoning.effort is 'high'", {"reasoning": {"effort": "high"}}),
    ("text.verbosity is 'low'", {"text": {"verbosity": "low"}}),
    ("temperature is 3", {"temperature": 3}),
    ("instructions is 5", {"instructions": 5}),
]  # fmt: skip


def test_what_is_wrong_is_named():
    async def test(w):
        for words, body in BAD:
            answer = await w.http.post(
                "/v1/responses", json={"model": MODEL, "input": "hi", **body}
            )
            assert answer.status_code == 400 and words in answer.json()["error"]["message"], (
                words,
                answer.text,
            )
        assert not w.router.requests

    async def main():
        async with world() as w:
            await test(w)

    asyncio.run(main())
