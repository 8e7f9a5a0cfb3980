"""What fits a real cluster is answered over HTTP, and what does not is refused at once."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.process import process_world
from configs.schema import load_scenario

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
MODEL, CONTEXT = "perfuse-tiny", 1024
HI = {"role": "user", "content": "hi"}
LONG = "word " * 800_000
TOOL = {"type": "function", "function": {"name": "f", "description": LONG}}
ONE = {
    "type": "object",
    "properties": {"a": {"const": 1}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with process_world(Blueprint.draw(load_scenario("server"))) as world:
        yield world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        assert not any(world.ask_all("failures").values())


@pytest.fixture(scope="module")
def small_url() -> Iterator[str]:
    """A cluster that takes four requests at a time."""
    small = {"slo.admission.max_queue": 4}
    with process_world(Blueprint.draw(load_scenario("server", small))) as world:
        yield world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())


def ask(url: str, route: str, **body: Any) -> Any:
    return httpx.post(f"{url}/v1/{route}", json={"model": MODEL, **body}, timeout=60)


@pytest.mark.parametrize(
    ("num_prompt", "answer"), [(945, 16), (1008, 16), (1009, 15), (1023, 1)], ids=str
)
def test_a_default_that_nobody_sent_refuses_nothing_that_fits(
    url: str, num_prompt: int, answer: int
) -> None:
    told = ask(url, "completions", prompt=[5] * num_prompt, ignore_eos=True)
    assert told.status_code == 200, told.text
    assert told.json()["usage"]["completion_tokens"] == answer


def test_a_number_that_somebody_sent_is_kept_or_refused(url: str) -> None:
    fits = ask(url, "completions", prompt=[5] * 945, max_tokens=79, ignore_eos=True)
    assert fits.json()["usage"]["total_tokens"] == CONTEXT
    refused = ask(url, "completions", prompt=[5] * 945, max_tokens=80)
    assert refused.status_code == 400
    message = refused.json()["error"]["message"]
    assert "this model's maximum context length is 1024 tokens" in message.lower()
    assert "945 tokens, and max_tokens is 80, together 1025" in message


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("completions", {"prompt": LONG}),
        ("completions", {"prompt": [7] * 1_000_000}),
        ("completions", {"prompt": ["hi", LONG], "n": 4}),
        ("chat/completions", {"messages": [{**HI, "content": LONG}]}),
        ("chat/completions", {"messages": [HI], "tools": [TOOL]}),
        ("responses", {"input": "hi", "instructions": LONG, "n": None}),
    ],
    ids=["prompt", "ids", "prompts", "message", "tools", "instructions"],
)
def test_4_mb_are_the_right_400(url: str, route: str, body: dict[str, Any]) -> None:
    refused = ask(url, route, **{"n": 8, **body})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert "1024 tokens" in refused.json()["error"]["message"]


def test_4_mb_that_a_template_leaves_out_are_no_reason_to_refuse(url: str) -> None:
    """Eight copies of them are more than waits at a time."""
    told = ask(url, "chat/completions", messages=[{**HI, "name": LONG}], n=8, max_tokens=2)
    assert told.status_code == 200, told.text
    assert len(told.json()["choices"]) == 8


@pytest.mark.parametrize("more", [{}, {"temperature": 1.5, "seed": 3}, {"ignore_eos": True}])
def test_min_tokens_ends_where_a_schema_lets_nothing_else_come(url: str, more: Any) -> None:
    told = ask(
        url, "completions", prompt="x", max_tokens=60, min_tokens=50, guided_json=ONE, **more
    ).json()["choices"][0]
    assert (told["text"], told["finish_reason"]) == ('{"a": 1}', "stop")


def test_min_tokens_makes_a_pattern_go_on_where_it_may(url: str) -> None:
    told = ask(
        url, "completions", prompt="x", max_tokens=30, min_tokens=20, guided_regex="[ab]{3,}"
    ).json()
    assert told["usage"]["completion_tokens"] > 20
    assert set(told["choices"][0]["text"]) <= {"a", "b"}


@pytest.mark.parametrize(
    ("route", "body", "param"),
    [
        ("completions", {"prompt": "x", "n": 5}, "n"),
        ("completions", {"prompt": ["x", "y"], "n": 3}, "n"),
        ("completions", {"prompt": ["x"] * 5}, "prompt"),
        ("chat/completions", {"messages": [HI], "n": 64, "stream": True}, "n"),
    ],
    ids=["n", "prompts", "prompts alone", "stream"],
)
def test_more_choices_than_the_queue_takes_are_no_matter_of_time(
    small_url: str, route: str, body: Any, param: str
) -> None:
    refused = ask(small_url, route, **body)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["param"] == param and "takes at most 4 at once" in error["message"]
    assert ask(small_url, "completions", prompt="x", n=4, max_tokens=1).status_code == 200
