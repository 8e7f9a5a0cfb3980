"""The default cluster as real processes that talk gRPC, UCX or TLS, share memory, or do each where
it is named: one cluster for each does all that is asked of it here.
"""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.runs.run import run_in_virtual
from cluster.workload.build import Workload, build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario
from tests.certificates import cluster_folder, made_apart, unchecked
from tests.shared_memory import left_behind, names
from tests.workers.wire.transport.wires import NEEDS_SHM, NEEDS_UCX
from workers.errors import PeerDead
from workers.wire.transport.grpc import GrpcTransport

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

FEW = {"workload.arrivals.closed.num_requests": 16}
REAL = {"cluster.world": "local", "cluster.emulation": False, "cluster.dilation": 1}
CHIPS = ("prefill", "decode", "experts")
AMONG_CHIPS = "shm among chips"
WIRES: tuple[Any, ...] = (
    "grpc",
    pytest.param("ucx", marks=NEEDS_UCX),
    pytest.param("shm", marks=NEEDS_SHM),
    "tls",
    pytest.param(AMONG_CHIPS, marks=NEEDS_SHM),
)
# What is mapped into every process that talks so, and by none that does not.
MAPPED = {"ucx": "libucp", "shm": "memfd:perfuse-wire"}


def chosen(wire: str) -> Mapping[str, object]:
    if wire == "tls":
        return {"cluster.transport": "grpc", "cluster.certificates": str(cluster_folder())}
    if wire == AMONG_CHIPS:  # whoever speaks with the gateway does it by gRPC
        groups = {f"cluster.nodes.{group}.transport": "shm" for group in CHIPS}
        return {"cluster.transport": "grpc", **groups}
    return {"cluster.transport": wire}


@cache
def in_virtual() -> tuple[Workload, dict[str, list[int]]]:
    """What all of them are asked, and the tokens of each request in the virtual world."""
    drawn = Blueprint.draw(load_scenario("demo", FEW))
    workload = build_workload(drawn.scenario, drawn.model.vocab)
    answers = run_in_virtual(drawn, workload, lambda _: None).answers
    return workload, {answer.request_id: list(answer.token_ids) for answer in answers}


@pytest.mark.parametrize("wire", WIRES)
def test_tokens_are_the_same_before_and_after_chips_are_killed(wire: str) -> None:
    """A chip's next incarnation is reached at another address, by those who knew the last one."""
    shared = names()
    drawn = Blueprint.draw(load_scenario("demo", {**REAL, **FEW, **chosen(wire)}))
    with local_world(drawn) as world:
        if wire == "tls":
            strangers_are_refused(world)
        answers_right(world)
        assert_mapped(world, wire)
        assert bool(num_near(world)) == wire.startswith("shm"), "experts' tokens need no messages"
        for victim in ("decode-0", "experts-1"):
            world.kill(victim)
            world.revive(victim)
        answers_right(world)
        assert_mapped(world, wire)
        assert bool(world.ask("decode-0", "activity")["near"]) == wire.startswith("shm")
    assert not left_behind(shared, of=os.getpid())


def answers_right(world: LocalWorld) -> None:
    workload, right = in_virtual()
    answers = world.run(workload, lambda answer: None)
    assert not any(answer.error for answer in answers)
    assert {answer.request_id: answer.token_ids for answer in answers} == right
    assert not any(world.ask_all("failures").values())


def assert_mapped(world: LocalWorld, wire: str) -> None:
    """The one wire moves the frames, in every process that names it."""
    for node, pid in world.ask_all("pid").items():
        paths = [mapped.path for mapped in psutil.Process(pid).memory_maps()]
        named = "shm" if wire == AMONG_CHIPS and node.rsplit("-", 1)[0] in CHIPS else wire
        for name, mapping in MAPPED.items():
            assert any(mapping in path for path in paths) == (name == named), (node, name)


def num_near(world: LocalWorld) -> int:
    """Dispatches to experts so far that crossed memory without a message."""
    activity = world.ask_all("activity")
    assert not any(one["calls"] for one in activity.values())
    return sum(one["near"] for one in activity.values())


def strangers_are_refused(world: LocalWorld) -> None:
    """Every node listens on loopback; garbage, gRPC without TLS and another cluster's certificate
    all come to nothing, and each dialler is told why.
    """
    addresses = [member.address for member in world.members]
    assert len(addresses) == 11
    assert all(address.startswith("127.0.0.1:") for address in addresses)
    for address in addresses:
        reasons = asyncio.run(knock_as_strangers(address))
        assert "asks for a certificate of its cluster" in reasons[0]
        assert "was not signed by this cluster's authority" in reasons[1]


async def knock_as_strangers(address: str) -> list[str]:
    """Why there was no link, without certificates and with another cluster's."""
    host, _, port = address.rpartition(":")
    with suppress(ConnectionError):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(bytes(range(256)) * 4)
        await reader.read()
        writer.close()
    reasons = []
    with tempfile.TemporaryDirectory() as folder:
        for shown in (None, unchecked(made_apart(Path(folder) / "theirs"))):
            stranger = GrpcTransport("stranger", certificates=shown)
            await stranger.start(lambda payload: None, lambda node, reason: None)
            await stranger.connect({"node": address})
            with pytest.raises(PeerDead) as told:
                stranger.send("node", [b"frame"])
            reasons.append(str(told.value))
            await stranger.close()
    return reasons
