"""KV handed over to ranks that hold slices of it, on the wall clock: the virtual world's tokens."""

import pytest

from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.process import process_world
from tests.cluster.worlds.chips_of_slices import apart, group
from tests.cluster.worlds.cluster import blueprint

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


@pytest.mark.parametrize("numerics", ["real", "digest"])
def test_live_and_virtual_tokens_are_the_same(numerics: str) -> None:
    changes = {
        **apart(group(2), group(8, 2, block_size=32), numerics),
        "cluster.nodes.decode.count": 1,
        "workload.arrivals.closed.num_requests": 4,
        "workload.arrivals.closed.concurrency": 2,
    }
    virtual = blueprint(changes)
    live = blueprint({**changes, "cluster.world": "process", "cluster.emulation": False})
    workload = build_workload(live.scenario, live.model.vocab)
    exact = run_in_virtual(virtual, workload, lambda _: None).answers
    with process_world(live) as world:
        answers = world.run(workload, lambda _: None)
        assert not any(world.ask_all("failures").values())
    assert [one.token_ids for one in answers] == [one.token_ids for one in exact]
    assert all(one.token_ids for one in answers)
