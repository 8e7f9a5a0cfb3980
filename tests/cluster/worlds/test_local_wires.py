"""The default cluster as real processes that talk UCX, share memory or speak TLS, beside gRPC."""

import asyncio
import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario
from tests.certificates import cluster_folder, made_apart, unchecked
from tests.shared_memory import left_behind, names
from tests.workers.wire.transport.wires import NEEDS_SHM, NEEDS_UCX
from workers.errors import PeerDead
from workers.wire.transport.grpc import GrpcTransport

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

REAL = {
    "cluster.world": "local",
    "cluster.emulation": False,
    "cluster.dilation": 1,
    "workload.arrivals.closed.num_requests": 16,
}
FAST: tuple[Any, ...] = (
    pytest.param("ucx", marks=NEEDS_UCX),
    pytest.param("shm", marks=NEEDS_SHM),
    "tls",
)
# What is mapped into every process that talks so, and by none that does not.
MAPPED = {"ucx": "libucp", "shm": "memfd:perfuse-wire"}


def blueprint(transport: str) -> Blueprint:
    chosen: dict[str, object] = {"cluster.transport": transport}
    if transport == "tls":
        chosen = {"cluster.transport": "grpc", "cluster.certificates": str(cluster_folder())}
    return Blueprint.draw(load_scenario("demo", {**REAL, **chosen}))


def num_near(world: LocalWorld) -> int:
    """Dispatches to experts so far that crossed memory without a message."""
    activity = world.ask_all("activity")
    assert not any(one["calls"] for one in activity.values())
    return sum(one["near"] for one in activity.values())


@cache
def tokens_by(transport: str) -> dict[str, list[int]]:
    """Request -> its tokens, from a cluster that stands for this alone."""
    drawn = blueprint(transport)
    with local_world(drawn) as world:
        answers = world.run(build_workload(drawn.scenario, drawn.model.vocab), lambda answer: None)
        assert not any(world.ask_all("failures").values())
        assert bool(num_near(world)) == (transport == "shm"), "experts' tokens need no messages"
        for pid in world.ask_all("pid").values():
            paths = [mapped.path for mapped in psutil.Process(pid).memory_maps()]
            for wire, name in MAPPED.items():  # the one moves the frames, in every process
                assert any(name in path for path in paths) == (wire == transport)
    assert not any(answer.error for answer in answers)
    return {answer.request_id: answer.token_ids for answer in answers}


@pytest.mark.parametrize("transport", FAST)
def test_tokens_are_the_same_as_by_grpc(transport: str) -> None:
    shared = names()
    assert tokens_by(transport) == tokens_by("grpc")
    assert not left_behind(shared, of=os.getpid())


@pytest.mark.parametrize("transport", FAST)
def test_a_chip_that_is_killed_is_noticed_and_comes_back(transport: str) -> None:
    """Its next incarnation is reached at another address, by those who knew the last one."""
    drawn = blueprint(transport)
    with local_world(drawn) as world:
        workload = build_workload(drawn.scenario, drawn.model.vocab)
        for victim in ("decode-0", "experts-1"):
            world.kill(victim)
            world.revive(victim)
        answers = world.run(workload, lambda answer: None)
        assert not any(answer.error for answer in answers)
        assert not any(world.ask_all("failures").values())
        activity = world.ask_all("activity")
        assert bool(activity["decode-0"]["near"]) == (transport == "shm")


@NEEDS_SHM
def test_each_group_may_name_its_own() -> None:
    """Experts and chips share memory; whoever speaks with the gateway does it by gRPC."""
    groups = dict.fromkeys(("prefill", "decode", "experts"), "shm")
    changes = {f"cluster.nodes.{group}.transport": wire for group, wire in groups.items()}
    rest = {"cluster.transport": "grpc"}
    drawn = Blueprint.draw(load_scenario("demo", {**REAL, **rest, **changes}))
    with local_world(drawn) as world:
        answers = world.run(build_workload(drawn.scenario, drawn.model.vocab), lambda answer: None)
        assert not any(world.ask_all("failures").values())
        sharing = {
            name
            for name, pid in world.ask_all("pid").items()
            if any(MAPPED["shm"] in mapped.path for mapped in psutil.Process(pid).memory_maps())
        }
    assert {name.rsplit("-", 1)[0] for name in sharing} == set(groups)
    assert {answer.request_id: answer.token_ids for answer in answers} == tokens_by("grpc")


def test_strangers_at_the_ports_of_a_cluster_are_refused_and_it_goes_on() -> None:
    """Every node listens on loopback; garbage, gRPC without TLS and another cluster's certificate
    all come to nothing, and each dialler is told why.
    """
    drawn = blueprint("tls")
    with local_world(drawn) as world:
        addresses = [member.address for member in world.members]
        assert len(addresses) == 11
        assert all(address.startswith("127.0.0.1:") for address in addresses)
        for address in addresses:
            reasons = asyncio.run(knock_as_strangers(address))
            assert "asks for a certificate of its cluster" in reasons[0]
            assert "was not signed by this cluster's authority" in reasons[1]
        answers = world.run(build_workload(drawn.scenario, drawn.model.vocab), lambda answer: None)
        assert not any(answer.error for answer in answers)
        assert not any(world.ask_all("failures").values())


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
