"""What users see when a process of the local world dies, and that each kind of node is killed with
`kill -9` and comes back. Its own file: one Ray session a process at a time.
"""

import json
import threading
from typing import Any

import httpx
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

REAL = {"cluster.world": "local", "cluster.emulation": False, "cluster.dilation": 1}
# decode-0 is the first, in the middle of streams
VICTIMS = ("prefill-0", "experts-0", "hbf-0", "pnm-0", "router", "gateway")


def serve(world: LocalWorld) -> str:
    url: str = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
    return url


def answer(url: str, max_tokens: int = 24) -> dict[str, Any]:
    body = {
        "model": "perfuse-tiny",
        "messages": [{"role": "user", "content": "What is the price of Rasavan-65?"}],
        "retrieval": {"store": "cards", "top_k": 3},
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "temperature": 0,
    }
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=100)
    told: dict[str, Any] = reply.json()
    return told if reply.is_error else {"text": told["choices"][0]["message"]["content"]}


def test_each_kind_of_node_returns_from_a_kill_9() -> None:
    with local_world(Blueprint.draw(load_scenario("demo", REAL))) as world:
        url = serve(world)
        right = answer(url)
        assert right["text"]
        _streams_of_a_lost_chip_go_on(world, url)
        assert answer(url) == right, "the rest of the cluster serves on"
        world.revive("decode-0")
        assert answer(url) == right
        for victim in VICTIMS:
            world.kill(victim)
            world.revive(victim)
            if victim == "gateway":
                url = serve(world)
            assert answer(url) == right, victim
        _goes_on(world, url)


def _streams_of_a_lost_chip_go_on(world: LocalWorld, url: str) -> None:
    """A decode chip's process dies, and each of its streams is what the others are."""
    body = {
        "model": "perfuse-tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "n": 4,
        "max_tokens": 800,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
    }
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as stream:
        lines = stream.iter_lines()
        begun = next(lines)
        world.kill("decode-0")
        told = [json.loads(line[6:]) for line in (begun, *lines) if line.startswith("data: {")]
    assert not [one["error"]["message"] for one in told if "error" in one]
    texts = dict.fromkeys(range(4), "")
    for choice in (choice for one in told for choice in one["choices"]):
        texts[choice["index"]] += choice["delta"].get("content") or ""
    first, *others = texts.values()
    assert first and others == [first] * 3, "two chips had two each"


def _goes_on(world: LocalWorld, url: str) -> None:
    """A stream during whose life the router dies is read to its end. One that it has not accepted
    yet may be lost with it: a chip has this one.
    """
    calm = answer(url, 600)
    heard: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: heard.append(answer(url, 600)))
    reader.start()
    while not world.ask_gateway("held").get("chip_jobs"):
        assert reader.is_alive(), "it ended too soon for this test"
    world.kill("router")
    world.revive("router")
    reader.join()
    assert heard == [calm]
    assert not any(world.ask_gateway("held").values())
