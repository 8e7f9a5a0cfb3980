"""Parsing and writing without a server: any input is refused by name or understood."""

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.api.output import Output
from cluster.gateway.answer import Answer
from cluster.gateway.chat_form import ChatForm
from cluster.gateway.chat_request import parse_chat
from cluster.gateway.completion_form import CompletionForm
from cluster.gateway.completion_request import parse_completion
from cluster.gateway.generation import IGNORED, NEUTRAL
from cluster.gateway.listing import page
from cluster.gateway.naming import SEED_MAX, Name, choice_seed
from cluster.gateway.progress import Progress
from cluster.gateway.settings import GatewaySettings
from workers.errors import InvalidRequest

NAME = Name("r", "r")
SETTINGS = GatewaySettings()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
FIELDS = [
    *("model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature"),
    *("top_p", "top_k", "seed", "stop", "stop_token_ids", "n", "stream", "stream_options"),
    *("logprobs", "top_logprobs", "retrieval", "tools", "tool_choice", "echo", "ignore_eos"),
    *sorted(IGNORED),
    *NEUTRAL,
]
GOOD = {"model": "m", "messages": [{"role": "user", "content": "x"}], "prompt": "x"}


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), JSON, max_size=4))
def test_any_json_is_parsed_or_refused_and_never_crashes(fields):
    named: list[InvalidRequest] = []
    for parse, other in ((parse_chat, "prompt"), (parse_completion, "messages")):
        body = {k: v for k, v in (GOOD | fields).items() if k != other}
        try:
            generation = parse(body, NAME, 0, SETTINGS)
        except InvalidRequest as error:
            named.append(error)
            continue
        assert 1 <= len(generation.requests) <= SETTINGS.max_choices
        assert len({r.request_id for r in generation.requests}) == len(generation.requests)
        for request in generation.requests:
            request.sampling.validate()
            assert 0 <= request.sampling.seed <= SEED_MAX
            orjson.dumps(request.to_body())
    assert all(error.message for error in named)


@given(JSON)
def test_a_body_that_is_no_object_is_refused(body):
    if not isinstance(body, dict):
        with pytest.raises(InvalidRequest):
            parse_chat(body, NAME, 0, SETTINGS)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.lists(TEXT, min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "include", "each"]),
    st.booleans(),
)
def test_chunks_join_to_the_whole_text(texts, chat, retrieval, usage, approximate):
    extra: dict[str, Any] = {"retrieval": {"store": "s"}} if retrieval else {}
    if usage:
        extra["stream_options"] = {
            "include_usage": True,
            "continuous_usage_stats": usage == "each",
        }
    form = ChatForm() if chat else CompletionForm()
    content = {"messages": GOOD["messages"]} if chat else {"prompt": "x"}
    parse = parse_chat if chat else parse_completion
    body = {"model": "m", "stream": True, **content, **extra}
    answer = Answer(parse(body, NAME, 0, SETTINGS), form, created_s=1)
    progress = Progress(keep=True)
    found = ""
    for i, text in enumerate(texts):
        last = i == len(texts) - 1
        output = Output(
            "r", i, (i,), text, (), "stop" if last else "", approximate=(i,) * approximate
        )
        progress.add(output)
        data = answer.chunk(0, output, [progress])
        if not data:
            assert not text
            continue
        assert data.startswith(b"data: ")
        assert data.endswith(b"\n\n")
        assert data.count(b"\n") == 2
        event = json.loads(data[6:])
        choice = event["choices"][0]
        found += choice["delta"].get("content", "") if chat else choice["text"]
        assert ("retrieval" in event) == (last and retrieval)
        assert choice.get("approximate") == ([i] if approximate else None)
        assert ("usage" in event) == bool(usage)
    assert found == "".join(texts) == progress.text
    whole = json.loads(answer.whole([progress]))
    shown = whole["choices"][0]
    assert (shown["message"]["content"] if chat else shown["text"]) == found


@given(st.integers(0, 50), st.integers(1, 20), st.sampled_from(["asc", "desc"]))
def test_pages_hold_every_item_once_in_order(num_items, limit, order):
    items = [{"id": f"i{i}"} for i in range(num_items)]
    found, query = [], {"limit": str(limit), "order": order}
    while True:
        got = page(items, query)
        found += got["data"]
        if not got["has_more"]:
            break
        query["after"] = got["last_id"]
    assert found == (items if order == "asc" else items[::-1])


@given(st.integers(0, SEED_MAX))
def test_choices_have_seeds_of_their_own_and_the_first_keeps_the_users(seed):
    seeds = [choice_seed(seed, i) for i in range(64)]
    assert seeds[0] == seed
    assert len(set(seeds)) == 64
    assert all(0 <= s <= SEED_MAX for s in seeds)


@pytest.mark.parametrize("name", ["max_inflight", "max_body_bytes", "stall_timeout_s"])
def test_settings_that_make_no_sense_are_refused(name):
    changes: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=name):
        replace(SETTINGS, **changes)
