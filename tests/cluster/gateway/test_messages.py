"""Messages as popular clients send them: read, or refused by name."""

from typing import Any

import pytest

from cluster.gateway.chat_request import parse_chat
from cluster.gateway.naming import Name
from cluster.gateway.settings import GatewaySettings
from workers.errors import InvalidRequest

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
READ = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


def parsed(*messages: Any, **body: Any) -> Any:
    whole = {"model": "m", "messages": list(messages), **body}
    return parse_chat(whole, Name("r", "r"), 0, GatewaySettings()).requests[0]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"role": "user", "name": "ann"}, {"role": "user", "name": "ann"}),
        ({"role": "user", "name": ""}, {"role": "user"}),
        ({"role": "user", "cache_control": {"type": "ephemeral"}}, {"role": "user"}),
        (
            {"role": "assistant", "reasoning_content": "so"},
            {"role": "assistant", "reasoning_content": "so"},
        ),
        (
            {"role": "assistant", "reasoning": "so"},
            {"role": "assistant", "reasoning_content": "so"},
        ),
        ({"role": "tool", "tool_call_id": "c1"}, {"role": "tool", "tool_call_id": "c1"}),
        ({"role": "developer"}, {"role": "system"}),
        # An answer of the official client, or of litellm, sent back as it came.
        (
            {
                "role": "assistant", "refusal": None, "annotations": [], "audio": None,
                "thinking_blocks": [], "images": [],
                "function_call": None, "tool_calls": None, "provider_specific_fields": {"x": 1},
            },
            {"role": "assistant"},
        ),
    ],
)  # fmt: skip
def test_fields_of_messages_are_kept_or_ignored(sent: Any, read: Any) -> None:
    (message,) = parsed({"content": "hi", **sent}).messages
    assert message == {"content": "hi", **read}


def test_parts_may_carry_cache_hints_and_refusals() -> None:
    parts = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "refusal", "refusal": "no"},
    ]
    (message,) = parsed({"role": "assistant", "content": parts}).messages
    assert message == {"role": "assistant", "content": "a\nno"}


@pytest.mark.parametrize(
    "content", [{"content": None}, {}, {"content": []}], ids=["null", "absent", "no parts"]
)
def test_an_answer_without_content_is_judged_by_its_tool_calls(content: Any) -> None:
    (message,) = parsed({"role": "assistant", "tool_calls": [CALL], **content}).messages
    assert message == {"role": "assistant", "content": None, "tool_calls": [READ]}
    wrong = {**CALL, "function": {"name": ""}}
    for calls, name in (
        ([wrong], "tool_calls[0].function.name"), ([], "content"), ("f", "tool_calls"),
        ([{**CALL, "type": "custom"}], "tool_calls[0].type"), ([7], "tool_calls[0]"),
        ([{"id": "c"}], "tool_calls[0].function"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest) as refused:
            parsed({"role": "assistant", "tool_calls": calls, **content})
        assert refused.value.facts["param"] == f"messages[0].{name}"
    (refusal,) = parsed({"role": "assistant", "refusal": "no", **content}).messages
    assert refusal == {"role": "assistant", "content": "no"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('{"a": [1, "b"]}', {"a": [1, "b"]}), ("", {}), (" ", {}), ("{broken", "{broken"),
        ("[1]", "[1]"), ({"a": 1}, {"a": 1}), (None, {}), ("[" * 1000, "[" * 1000),
        ('{"a": 99999999999999999999}', '{"a": 99999999999999999999}'),
    ],
    ids=str,
)  # fmt: skip
def test_arguments_are_the_object_that_they_spell(given: Any, read: Any) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": given}}
    (message,) = parsed({"role": "assistant", "tool_calls": [call]}).messages
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": read}


@pytest.mark.parametrize(
    "extra",
    [
        {"role": "user", "tool_calls": [CALL]}, {"role": "user", "reasoning_content": "x"},
        {"role": "assistant", "function_call": {"name": "f"}},
        {"role": "assistant", "audio": {"id": "a"}}, {"role": "user", "prefix": True},
        {"role": "user", "name": 7}, {"role": "tool", "tool_call_id": 7}, {"role": "function"},
    ],
    ids=str,
)  # fmt: skip
def test_what_would_change_the_answer_is_refused_by_name(extra: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^messages\[0\]\."):
        parsed({"content": "hi", **extra})


def test_all_that_a_user_wrote_is_counted() -> None:
    request = parsed({"role": "assistant", "content": None, "tool_calls": [CALL]})
    assert sorted(request.texts()) == sorted(
        ["id", "type", "function", "name", "arguments", "call_1", "function", "f", "a"]
    )
    assert list(parsed({"role": "user", "content": "hi"}).texts()) == ["hi"]


def test_fields_that_say_nothing_to_the_model_are_ignored() -> None:
    parsed(
        {"role": "user", "content": "hi"}, user="u", metadata={"a": "b"}, store=True, seed=1,
        service_tier="auto", parallel_tool_calls=False, logit_bias=None, tools=None,
        stream_options=None, reasoning_effort=None, spaces_between_special_tokens=True,
        cache_salt="s", priority=0, detokenize=True, allowed_token_ids=[], vllm_xargs={},
        chat_template_kwargs={}, documents=[], add_special_tokens=False, min_p=0, best_of=1,
        return_token_ids=False, return_tokens_as_token_ids=False, include_reasoning=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "extra",
    [
        {"priority": 1}, {"detokenize": False}, {"chat_template_kwargs": {"a": 1}},
        {"add_special_tokens": True}, {"min_p": 0.1}, {"best_of": 2}, {"documents": [{}]},
        {"allowed_token_ids": [1]}, {"prompt_logprobs": 1}, {"nonsense": 0}, {"echo": True},
    ],
    ids=str,
)  # fmt: skip
def test_one_that_would_is_refused_by_name(extra: Any) -> None:
    (name,) = extra
    with pytest.raises(InvalidRequest, match=rf"^{name} is .*not supported") as refused:
        parsed({"role": "user", "content": "hi"}, **extra)
    assert refused.value.facts["param"] == name
