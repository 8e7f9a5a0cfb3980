"""Real processes, one after the other, over HTTP: asked for as an operator asks, and no client
notices anything. Its own file: one Ray session a process at a time.
"""

import os
import threading
import time
from typing import Any

import httpx
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from cluster.worlds.rolling import to_restart
from cluster.worlds.tending import Tending
from configs.schema import load_scenario

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

CHANGES: dict[str, Any] = {
    "cluster.world": "local",
    "cluster.emulation": False,
    "cluster.dilation": 1,
    "cluster.nodes.experts.count": 2,
    "cluster.nodes.experts.spares": 1,
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
    "slo.deadline": "300 s",
}
NUM_CLIENTS = 2
ENDED = ("done", "failed")


class Clients:
    """They ask until `end`, whatever becomes of it."""

    def __init__(self, url: str) -> None:
        self.texts: dict[int, set[str]] = {number: set() for number in range(NUM_CLIENTS)}
        self.failed: list[str] = []
        self._url, self._ends = url, threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in self.texts
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        body = {"prompt": f"The price of {number}", "max_tokens": 16, "ignore_eos": True}
        with httpx.Client(timeout=300) as http:
            while not self._ends.is_set():
                answer = http.post(
                    f"{self._url}/v1/completions", json={"model": "perfuse-tiny", **body}
                )
                if answer.status_code == 200:
                    self.texts[number].add(answer.json()["choices"][0]["text"])
                else:
                    self.failed.append(answer.text)

    def end(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()


def _rolled(world: LocalWorld, url: str) -> dict[str, Any]:
    """What is told at the end of a rolling restart that an operator asks for."""
    tending = Tending(world, lambda: False)
    while httpx.post(f"{url}/admin/restarts", json={}).status_code == 404:
        tending.look()  # nobody has looked yet: nobody would do it
    assert httpx.post(f"{url}/admin/restarts", json={}).status_code == 400, "one at a time"
    while True:
        tending.look()
        told: dict[str, Any] = httpx.get(f"{url}/admin/restarts").json()
        if told["status"] in ENDED:
            return told
        time.sleep(0.05)


def test_every_process_is_replaced_and_no_request_fails() -> None:
    with local_world(Blueprint.draw(load_scenario("demo", CHANGES))) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        before = world.ask_all("pid")
        clients = Clients(url)
        try:
            told = _rolled(world, url)
        finally:
            clients.end()
        again = to_restart(world.blueprint)
        assert told["status"] == "done", told
        assert told["steps"] == [f"restarting {node}" for node in again] and len(again) > 4
        assert not clients.failed
        assert all(len(said) == 1 for said in clients.texts.values()), "each answer is the same"
        after = world.ask_all("pid")
        assert {name for name in after if after[name] != before[name]} == {*again}
        living = {member.node: member.epoch for member in world.members}
        assert {name: living[name] for name in again} == dict.fromkeys(again, 2)
        assert not any(os.path.exists(f"/proc/{before[name]}") for name in again)
        held = world.ask_gateway("held")
        assert not any(held.values()), held
        assert not any(world.ask_all("failures").values())
        world.kill(again[0])
        assert _rolled(world, url)["status"] == "failed", "who is gone cannot end what it had"
