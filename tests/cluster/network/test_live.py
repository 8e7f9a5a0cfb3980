"""A torus whose nodes are processes: what stands in the segment that they share."""

import os
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.reports.network import not_conserved
from cluster.runs.run import run_in, run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import local_world
from cluster.worlds.wire_host import NETWORK
from configs.schema import load_scenario
from tests.shared_memory import left_behind, names
from workers.wire.fabric.traffic import CLASSES

FEW = {"workload.arrivals.closed.num_requests": 2, "workload.sampling.max_tokens": 3}
# Nothing here is about times.
LIVE = {"cluster.world": "local", "cluster.dilation": 1_000}


def drawn(changes: Mapping[str, Any]) -> Blueprint:
    return Blueprint.draw(load_scenario("torus-tp2", {**FEW, **changes}))


@pytest.mark.live
@pytest.mark.timeout(300)
def test_processes_share_a_torus() -> None:
    """The tokens of the virtual world, over a chip of two ranks; both hands agree, also when a node
    was killed and came back; nothing is left behind.
    """
    before, live = names(), drawn(LIVE)
    workload = build_workload(live.scenario, live.model.vocab)
    expected = run_in_virtual(drawn({}), workload, lambda _: None)
    with local_world(live) as world:
        done = run_in(world, workload, lambda _: None)
        assert world.segments is not None and (world.segments / NETWORK).exists()
        world.kill("experts-1")
        world.revive("experts-1")
        again = run_in(world, workload, lambda _: None)
    for run in (done, again):
        assert [a.token_ids for a in run.answers] == [a.token_ids for a in expected.answers]
        assert run.network is not None
        assert not_conserved(run.network) == "" and not run.network.is_estimated
        pair = "decode-0", "decode-0-rank-1"
        assert run.network.talk[pair].messages[CLASSES.index("collectives")] > 0
    assert not world.segments.exists() and left_behind(before, of=os.getpid()) == []
