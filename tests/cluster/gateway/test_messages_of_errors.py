"""What is wrong is told in the words of whoever sent it: key, value, and what would be right."""

import asyncio
from typing import Any

import pytest

from cluster.gateway.chat_request import parse_chat
from cluster.gateway.completion_request import parse_completion
from cluster.gateway.embedding_request import parse_embeddings
from cluster.gateway.naming import Name
from cluster.gateway.settings import GatewaySettings
from cluster.retrieval.narrowing import check_narrowing
from tests.cluster.gateway.fake_router import world
from workers.errors import InvalidRequest

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
TOOLS = "it must be 'function' or 'file_search'"
OLD_CALL = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}


def chat(**fields: Any) -> Any:
    return parse_chat(CHAT | fields, Name("r", "r"), 0, GatewaySettings()).requests[0]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tools": [{}]}, f"tools[0].type is missing: {TOOLS}"),
        ({"tools": [{"type": "custom"}]}, f"tools[0].type is 'custom': {TOOLS}"),
        ({"tools": [None]}, "tools[0] is null: it must be a JSON object"),
        ({"tool_choice": "required"}, "is 'required': it must be 'none' or 'auto' without tools"),
        ({"seed": 1 << 63}, "seed is 9223372036854775808: it must be an integer between"),
        ({"n": 1.5}, "n is 1.5: it must be an integer"),
        ({"n": True}, "n is true: it must be an integer"),
        ({"logit_bias": {"5": None}}, "logit_bias.5 is null: it must be a number between -100"),
        ({"logit_bias": {"5": 1, "05": 1}}, "logit_bias names token 5 twice"),
        ({"stop": ""}, "stop is ['']: it must be non-empty strings"),
        ({"": 1}, "'' is not supported: remove it"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema is missing: it must be a JSON object",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema is missing: it must be a JSON schema",
        ),
        ({"messages": [OLD_CALL]}, "messages[0].function_call is not supported: write it as tool_"),
    ],
)
def test_a_chat_s_fault(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        chat(**fields)
    assert told in refused.value.message


def test_a_completion_has_no_functions() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    body = {"model": "m", "prompt": "x", "tools": [tool]}
    with pytest.raises(InvalidRequest, match="functions are called in /v1/chat/completions"):
        parse_completion(body, Name("r", "r"), 0, GatewaySettings())


def test_a_filter_s_fault() -> None:
    for narrowing, told in (
        ({}, "filters.type is missing"),
        ({"type": True}, "filters.type is true"),
        ({"type": "eq", "value": 1}, "filters.key is missing"),
        ({"type": "eq", "key": "a", "value": None}, "filters.value is missing"),
        ({"type": "and"}, "filters.filters is missing"),
        ({"type": "eq", "key": "a", "value": 1, "": 1}, "filters.'' is not supported"),
    ):
        with pytest.raises(ValueError, match=told):
            check_narrowing(narrowing)


def test_an_integral_float_is_an_integer() -> None:
    read = chat(n=1.0, max_tokens=8.0, seed=3.0, top_k=-1.0, stop_token_ids=[7.0, 8]).sampling
    assert (read.max_tokens, read.seed, read.top_k, read.stop_token_ids) == (8, 3, 0, (7, 8))
    assert all(type(one) is int for one in (read.max_tokens, read.seed, *read.stop_token_ids))
    for prompt in ([5.0, 6], [[5.0, 6]]):
        made = parse_completion(
            {"model": "m", "prompt": prompt}, Name("r", "r"), 0, GatewaySettings()
        )
        assert made.requests[0].prompt_ids == (5, 6)
    assert parse_embeddings({"model": "m", "input": [5.0, 6]}).texts == ((5, 6),)
    with pytest.raises(InvalidRequest, match="token ids"):
        chat(stop_token_ids=[1.5])


@pytest.mark.live
def test_keys_are_those_that_were_sent() -> None:
    async def main() -> None:
        async with world() as w:
            for key, body in (
                ("reasoning.effort", {"reasoning": {"effort": "low"}}),
                ("text.verbosity", {"text": {"verbosity": "low"}}),
            ):
                sent = {"model": "perfuse-tiny", "input": "x", **body}
                answer = await w.http.post("/v1/responses", json=sent)
                assert answer.status_code == 400
                assert answer.json()["error"]["param"] == key

    asyncio.run(main())
