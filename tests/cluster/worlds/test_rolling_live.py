"""Over HTTP, on the wall clock: every node restarts while clients ask, and none of them fails."""

import threading
from typing import Any

import httpx
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.process import process_world
from cluster.worlds.rolling import restart_each, to_restart
from tests.cluster.worlds.cluster import blueprint

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

CHANGES: dict[str, Any] = {
    "cluster.world": "process",
    "cluster.emulation": False,
    "cluster.nodes.decode.count": 2,
    "slo.deadline": "120 s",
}
NUM_CLIENTS = 3


def test_clients_notice_nothing_of_a_rolling_restart() -> None:
    texts: dict[int, set[str]] = {number: set() for number in range(NUM_CLIENTS)}
    failed: list[str] = []
    ends = threading.Event()

    def client(url: str, number: int) -> None:
        body = {"prompt": f"The price of {number}", "max_tokens": 16, "ignore_eos": True}
        with httpx.Client(timeout=120, verify=False) as http:
            while not ends.is_set():
                answer = http.post(f"{url}/v1/completions", json={"model": "perfuse-tiny", **body})
                if answer.status_code != 200:
                    failed.append(answer.text)
                    return
                texts[number].add(answer.json()["choices"][0]["text"])

    with process_world(blueprint(CHANGES)) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        clients = [
            threading.Thread(target=client, args=(url, number)) for number in range(NUM_CLIENTS)
        ]
        for each in clients:
            each.start()
        steps: list[str] = []
        try:
            world._finish(restart_each(world, steps.append))
        finally:
            ends.set()
            for each in clients:
                each.join()
        again = to_restart(world.blueprint)
        assert len(steps) == len(again) > 4
        assert {name: world.seats[name].node.epoch for name in again} == dict.fromkeys(again, 2)
        assert not any(world.ask_all("failures").values())
        held = world.ask_gateway("held")
        assert not any(held.values()), held
    assert not failed and all(len(said) == 1 for said in texts.values())
