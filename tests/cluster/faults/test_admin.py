"""`/admin/faults` and `perfuse faults` before a whole gateway of a cluster on the wall clock."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.process import ProcessWorld, process_world
from configs.schema import load_scenario
from configs.units import DURATION
from tests.cluster.worlds.cluster import SMALL, prompt

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

runner = CliRunner()
LATE = {"type": "latency", "kind": "dispatch", "attributes": {"latency": "100 us"}}


@pytest.fixture(scope="module")
def world() -> Iterator[ProcessWorld]:
    changes = {**SMALL, "cluster.world": "process", "cluster.dilation": 1000}
    with process_world(Blueprint.draw(load_scenario("demo", changes))) as started:
        yield started


@pytest.fixture(scope="module")
def url(world: ProcessWorld) -> str:
    served: str = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
    return served


@pytest.fixture(autouse=True)
def none_left(url: str) -> Iterator[None]:
    yield
    for fault in httpx.get(f"{url}/admin/faults").json()["data"]:
        assert httpx.delete(f"{url}/admin/faults/{fault['name']}").status_code == 200


def answer(url: str) -> tuple[str, float]:
    """Of the cluster, and how many emulated microseconds it waited for experts."""
    body = {
        "model": "perfuse-tiny",
        "prompt": list(prompt(0)),
        "max_tokens": 4,
        "ignore_eos": True,
    }
    told = httpx.post(f"{url}/v1/completions", json=body, timeout=60).json()
    return told["choices"][0]["text"], told["times_ns"]["expert_wait"] / 1e3


def perfuse(url: str, *arguments: str, key: str = "") -> tuple[int, str]:
    """Exit code and what it printed."""
    environment = {"PERFUSE_ADMIN_KEY": key or None, "COLUMNS": "200"}
    found = runner.invoke(app, ["faults", *arguments, "--url", url], env=environment)
    return found.exit_code, found.output


def test_a_fault_is_added_listed_and_removed(url: str, world: ProcessWorld) -> None:
    text, free_us = answer(url)
    added = httpx.post(f"{url}/admin/faults", json=LATE)
    assert added.status_code == 200
    name = added.json()["name"]
    assert httpx.get(f"{url}/admin/faults").json() == {"object": "list", "data": [added.json()]}
    rules = [set(seat.node.endpoint.rules) for seat in world.seats.values()]
    assert rules == [{name}] * len(rules)
    same, slow_us = answer(url)
    assert same == text and slow_us > free_us + 3 * 100
    removed = httpx.delete(f"{url}/admin/faults/{name}")
    assert removed.json() == {"name": name, "object": "fault", "deleted": True}
    assert not any(seat.node.endpoint.rules for seat in world.seats.values())
    assert httpx.get(f"{url}/admin/faults").json()["data"] == []


def test_start_counts_from_the_wall(url: str) -> None:
    """A request drives no event of the cluster's: 20 ms of the wall are 20 us."""
    starts = []
    for _ in range(2):
        stall = {"type": "stall", "start": "1 ms", "duration": "1 us"}
        added = httpx.post(f"{url}/admin/faults", json=stall).json()
        starts.append(DURATION.parse(added["start"]))
        time.sleep(0.02)
    assert starts[0] > 1_000_000 and starts[1] >= starts[0] + 20_000


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b'{"type": "latncy"}', 400, "type: is 'latncy': it must be one of"),
        (b'{"type": "latency", "attributes": {"latency": "-5 ms"}}', 400, "'-5 ms' is below zero"),
        (b'{"type": "drop", "destination": "experts-7"}', 400, "called 'experts-7': did you mean"),
        (b"{", 400, "the request body is not JSON"),
        (b"[]", 400, "fault: is []"),
    ],
)
def test_bad_input_names_the_key_and_what_would_be_right(
    url: str, content: bytes, status: int, told: str
) -> None:
    headers = {"content-type": "application/json"}
    found = httpx.post(f"{url}/admin/faults", content=content, headers=headers)
    assert found.status_code == status and told in found.json()["error"]["message"]
    assert httpx.get(f"{url}/admin/faults").json()["data"] == []


def test_a_web_page_can_neither_name_this_host_nor_send_plain_text(url: str) -> None:
    plain = httpx.post(f"{url}/admin/faults", content=b'{"type": "drop"}')
    assert plain.status_code == 400 and "application/json" in plain.json()["error"]["message"]
    named = httpx.get(f"{url}/admin/faults", headers={"host": "evil.example"})
    assert named.status_code == 401 and "127.0.0.1" in named.json()["error"]["message"]


def test_what_is_not_there_cannot_be_removed(url: str) -> None:
    found = httpx.delete(f"{url}/admin/faults/nobody")
    assert found.status_code == 404 and "no fault is called 'nobody'" in found.text


def test_the_command_adds_lists_and_removes(url: str, tmp_path: Path) -> None:
    assert perfuse(url, "list") == (0, "none\n")
    options = ("--destination", "experts-1", "--toxicity", "10 %", "--name", "slow")
    code, said = perfuse(url, "add", "latency", "latency=5 ms", "jitter=1 ms", *options)
    assert (code, said) == (0, "slow stands\n")
    recording = tmp_path / "delays.txt"
    recording.write_text("1 us\n2 us\n", encoding="utf-8")
    code, said = perfuse(url, "add", "latency", "distribution=replay", f"path={recording}")
    assert code == 0, said
    first, second = httpx.get(f"{url}/admin/faults").json()["data"]
    assert first["toxicity"] == 0.1 and first["attributes"]["jitter"] == "1 ms"
    assert second["attributes"]["delays"] == ["1 us", "2 us"]
    code, said = perfuse(url, "list")
    assert code == 0 and "name: slow" in said and "destination: experts-1" in said
    assert perfuse(url, "remove", "slow") == (0, "slow is gone\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "latency", "latency=5"), "5 has no unit"),
        (("add", "dely"), "type: is 'dely'"),
        (("add", "latency", "latency"), "it must be KEY=VALUE"),
        (("remove", "slo"), "no fault is called 'slo'"),
        (("add", "latency", "path=no/such/file"), "no/such/file"),
    ],
)
def test_the_command_says_what_is_wrong(url: str, arguments: tuple[str, ...], told: str) -> None:
    code, said = perfuse(url, *arguments)
    assert code == 2 and told in said and "Traceback" not in said


def test_the_command_says_where_nobody_is() -> None:
    code, said = perfuse("http://127.0.0.1:9", "list")
    assert code == 2 and "--url http://127.0.0.1:9: did not answer" in said


def _served(world: ProcessWorld, host: str, key: str) -> str:
    world.ask_gateway("stop_http")
    served: Any = world.ask_gateway("serve_http", host, 0, GatewaySettings(admin_key=key))
    return str(served).replace("0.0.0.0", "127.0.0.1")


def test_whoever_is_not_bound_to_loopback_needs_a_key(world: ProcessWorld, url: str) -> None:
    """All in one, last but one: each gateway takes the place of the one before."""
    try:
        open_url = _served(world, "0.0.0.0", "")
        found = httpx.get(f"{open_url}/admin/faults")
        assert found.status_code == 403 and found.json()["error"]["code"] == "admin_key_not_set"
        assert "PERFUSE_ADMIN_KEY" in found.json()["error"]["message"]
        for host in ("0.0.0.0", "127.0.0.1"):
            keyed = _served(world, host, "open sesame")
            for wrong in ({}, {"authorization": "Bearer open"}, {"authorization": "open sesame"}):
                found = httpx.post(f"{keyed}/admin/faults", json=LATE, headers=wrong)
                assert found.status_code == 401
                assert found.json()["error"]["code"] == "invalid_api_key"
                assert "sesame" not in found.text
            right = {"authorization": "Bearer open sesame", "host": "cluster.example"}
            assert httpx.get(f"{keyed}/admin/faults", headers=right).json()["data"] == []
            assert perfuse(keyed, "list", key="open sesame") == (0, "none\n")
            assert perfuse(keyed, "list", key="guess")[0] == 2
    finally:
        world.ask_gateway("stop_http")
        port = int(url.rsplit(":", 1)[1])
        world.ask_gateway("serve_http", "127.0.0.1", port, GatewaySettings())
