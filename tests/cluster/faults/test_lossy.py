"""Over links that lose, double, shuffle and corrupt: tokens equal, each once, nothing held. The
benchmark of 10,000 tokens, in small.
"""

import pytest

from benchmarks.wires.faults import FAULTS, drawn, outcome
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload


def test_in_virtual_time_all_tokens_are_right_and_nothing_is_held() -> None:
    found = outcome("virtual", num_requests=40, num_tokens=12)
    assert (found.wrong, found.held, found.num_tokens) == (0, {}, 480)
    assert found.slower > 1.2, "or nothing was lost"


def test_the_same_scenario_has_the_same_trace() -> None:
    blueprint = drawn("virtual", 10, 6, faulty=True)
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    hashes = {run_in_virtual(blueprint, workload, lambda _: None).trace_hash for _ in range(2)}
    assert len(hashes) == 1
    assert [fault["type"] for fault in FAULTS] == ["drop", "duplicate", "reorder", "corrupt"]


@pytest.mark.live
@pytest.mark.timeout(120)
def test_on_the_wall_too() -> None:
    found = outcome("process", num_requests=40, num_tokens=6)
    assert (found.wrong, found.held, found.num_tokens) == (0, {}, 240)
