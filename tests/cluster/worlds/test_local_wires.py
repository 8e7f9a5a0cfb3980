"""The default cluster as real processes that talk UCX, beside the same on gRPC."""

from pathlib import Path

import psutil
import pytest

from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import local_world
from configs.schema import load_scenario
from tests.workers.wire.transport.wires import NEEDS_UCX

pytestmark = [pytest.mark.live, pytest.mark.timeout(300), NEEDS_UCX]

REAL = {
    "cluster.world": "local",
    "cluster.emulation": False,
    "cluster.dilation": 1,
    "workload.arrivals.closed.num_requests": 16,
}


def blueprint(transport: str) -> Blueprint:
    return Blueprint.draw(load_scenario("demo", {**REAL, "cluster.transport": transport}))


def tokens_by(transport: str) -> dict[str, list[int]]:
    """Request -> its tokens, from a cluster that stands for this alone."""
    drawn = blueprint(transport)
    with local_world(drawn) as world:
        answers = world.run(build_workload(drawn.scenario, drawn.model.vocab), lambda answer: None)
        assert not any(world.ask_all("failures").values())
        if transport == "ucx":  # it is what moves the frames, in every process
            for pid in world.ask_all("pid").values():
                assert any("libucp" in mapped.path for mapped in psutil.Process(pid).memory_maps())
    assert not any(answer.error for answer in answers)
    return {answer.request_id: answer.token_ids for answer in answers}


def test_tokens_are_the_same_as_by_grpc() -> None:
    shared = set(Path("/dev/shm").glob("ucx_*"))
    assert tokens_by("ucx") == tokens_by("grpc")
    assert set(Path("/dev/shm").glob("ucx_*")) <= shared, "segments are left"


def test_a_chip_that_is_killed_is_noticed_and_comes_back() -> None:
    """Its next incarnation is reached at another address, by those who knew the last one."""
    drawn = blueprint("auto")
    with local_world(drawn) as world:
        workload = build_workload(drawn.scenario, drawn.model.vocab)
        chip = "decode-0"
        world.kill(chip)
        world.revive(chip)
        answers = world.run(workload, lambda answer: None)
        assert not any(answer.error for answer in answers)
        assert not any(world.ask_all("failures").values())
