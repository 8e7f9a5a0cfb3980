"""Over HTTP, with a real model: the gateway dies, and a client goes on with the next one."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.process import ProcessWorld, process_world
from tests.cluster.worlds.cluster import blueprint

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

CHAT: Any = {"messages": [{"role": "user", "content": "What is the price of Rasavan-65?"}]}
FORMS: Any = {
    "/v1/chat/completions": CHAT | {"max_tokens": 24, "ignore_eos": True, "n": 2},
    "/v1/completions": {"prompt": "The price", "max_tokens": 24, "ignore_eos": True},
    "/v1/responses": {"input": "What is the price?", "max_output_tokens": 24},
}


@pytest.fixture(scope="module")
def world() -> Iterator[ProcessWorld]:
    changes = {"cluster.world": "process", "cluster.emulation": False}
    with process_world(blueprint(changes)) as world:
        yield world
        assert not any(world.ask_all("failures").values())


def events(world: ProcessWorld, path: str, last: str | None, most: int | None) -> list[list[str]]:
    """The first events of an answer, as lines; then the client goes away."""
    url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
    body = {"model": "perfuse-tiny", "stream": True, "temperature": 1.0, **FORMS[path]}
    headers = {"X-Request-Id": "mine"} | ({"Last-Event-ID": last} if last else {})
    found: list[list[str]] = [[]]
    with (
        httpx.Client(timeout=60, verify=False) as client,
        client.stream("POST", url + path, json=body, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            if line:
                found[-1].append(line)
            else:
                found.append([])
                if len(found) - 1 == most:
                    break
    return found[:-1]


def told(found: list[list[str]]) -> list[str]:
    """What events say, without when and how fast: choices may come in any order."""
    data = [line[6:] for event in found for line in event if line.startswith("data: {")]
    return sorted(json.dumps(_timeless(json.loads(one))) for one in data)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        timed = ("created", "created_at", "times_ns", "usage")
        return {key: _timeless(inner) for key, inner in value.items() if key not in timed}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", FORMS)
def test_a_stream_goes_on_at_the_next_gateway_and_repeats_nothing(
    world: ProcessWorld, path: str
) -> None:
    whole = events(world, path, None, None)
    assert len(whole) > 8
    world.ask_gateway("stop_http")
    heard: list[list[str]] = []
    last = None
    for most in (4, 3, None):
        heard += events(world, path, last, most)
        last = [line[4:] for event in heard for line in event if line.startswith("id: ")][-1]
        world.kill("gateway")
        world.revive("gateway")
    assert told(heard) == told(whole)
    held = world.ask_gateway("held")
    assert not any(held.values()), held
