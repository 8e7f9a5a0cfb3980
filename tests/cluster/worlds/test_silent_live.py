"""Expert shards of the local world that are stopped (SIGSTOP) or killed (kill -9) in the middle of
a stream: it goes on, the same, and who was killed comes back by itself. Its own file: one Ray
session a process at a time.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import SMALL
from tests.cluster.worlds.test_local_faults import state

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

# With a spare tokens cross shared memory; where experts have copies they go as messages.
WAYS: dict[str, dict[str, Any]] = {
    "spare": {"cluster.nodes.experts.spares": 1},
    "copies": {"placement.experts.replicas": dict.fromkeys(range(8), 1)},
}
REAL = {
    **SMALL,
    "cluster.world": "local",
    "cluster.emulation": False,
    "cluster.restarts": 1,
    "cluster.silence": "1 s",
}
NUM_TOKENS = 400
PATIENCE_S = 120.0


def stream(url: str) -> Iterator[str]:
    """A greedy answer, a piece at a time; raises where it ends with an error."""
    body = {
        "model": "perfuse-tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": NUM_TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
    }
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=300) as told:
        for line in told.iter_lines():
            if line.startswith("data: {"):
                one = json.loads(line[6:])
                assert "error" not in one, one
                yield from (choice["delta"].get("content") or "" for choice in one["choices"])


def interrupted(url: str, strike: Callable[[], None]) -> tuple[str, float]:
    """The whole answer, and the longest time in seconds from a piece to the next."""
    pieces, longest_s, last_s = [], 0.0, time.monotonic()
    for number, piece in enumerate(stream(url)):
        if number == 20:
            strike()
        now_s = time.monotonic()
        pieces.append(piece)
        longest_s, last_s = max(longest_s, now_s - last_s), now_s
    return "".join(pieces), longest_s


def until(is_so: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < ends_s, "it never came"
        time.sleep(0.05)


def epochs(world: LocalWorld) -> set[int]:
    """Of experts-1, as all others know it."""
    return {known.get("experts-1", 0) for known in world.ask_all("knows").values()}


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_goes_on_while_a_shard_is_stopped_and_after_it_is_killed(way: str) -> None:
    """It is stopped until the stream has ended, so nothing of what it says is in it; without
    somebody else it would have waited for a quarter of its deadline.
    """
    drawn = Blueprint.draw(load_scenario("demo", {**REAL, **WAYS[way]}))
    with local_world(drawn) as world:
        url: str = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        right = "".join(stream(url))
        pid = world._pids["experts-1"]
        found, stall_s = interrupted(url, lambda: os.kill(pid, signal.SIGSTOP))
        assert state(pid) == "T" and found == right
        assert stall_s < drawn.timeout_ns / 1e9
        os.kill(pid, signal.SIGCONT)
        assert "".join(stream(url)) == right, "what it had answers late, to nobody"
        found, stall_s = interrupted(url, lambda: os.kill(pid, signal.SIGKILL))
        assert found == right and stall_s < drawn.timeout_ns / 1e9
        until(lambda: world._epochs["experts-1"] == 2 and world._living("experts-1") is not None)
        assert epochs(world) == {2} and world.supervisor.num_restarts == {"experts-1": 1}
        assert "".join(stream(url)) == right
        assert not any(world.ask_gateway("held").values())
