"""A host that is gone for good: its nodes stand elsewhere, and its memory servers, whose disks went
with it, are given their collections again.
"""

import time
from collections.abc import Iterator

import pytest

from benchmarks.ray.hosts import hindrance
from benchmarks.ray.ray_hosts import Asked, RayHosts, ray_hosts
from tests.cluster.worlds.machines.free import FREE
from tests.cluster.worlds.machines.right import BACK_S, lets_go, right_again

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(hindrance()), reason=hindrance()),
]

MEMORY = {"hbf-0", "pnm-0"}
# A host where nobody listens any more is given up after a few looks; one that is slow is not.
SOON = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}


@pytest.fixture
def standing() -> Iterator[RayHosts]:
    with ray_hosts(2, settings=SOON) as started:
        done = started.perfuse("up", "demo", *FREE)
        assert done.returncode == 0, done.stdout + done.stderr
        yield started
        done = started.perfuse("down", "demo")
        assert done.returncode == 0, done.stderr


def all_elsewhere(asked: Asked, machine: str) -> None:
    """Once every node stands on another machine, and nothing is missing."""
    ends_s = time.monotonic() + BACK_S
    while True:
        told = asked.ask("status")
        nodes = told["nodes"].values()
        if not told["problem"] and all(n["machine"] != machine and not n["gone"] for n in nodes):
            return
        assert time.monotonic() < ends_s, told
        time.sleep(0.5)


def test_its_nodes_stand_elsewhere_and_what_they_lost_is_there_again(standing: RayHosts) -> None:
    with standing.attached("demo") as asked:
        nodes = asked.ask("status")["nodes"]
        (machine,) = {one["machine"] for one in nodes.values() if "10.77.31.2" in one["machine"]}
        assert MEMORY & {node for node, one in nodes.items() if one["machine"] == machine}
        standing.burn(1)
        all_elsewhere(asked, machine)
        asked.ask("serve")
        right_again(asked)
        lets_go(asked)
