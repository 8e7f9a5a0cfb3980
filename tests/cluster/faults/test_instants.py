"""When faults happen that wait for a time: as written, or drawn from seed and name alone."""

import math
from typing import Any

import pytest

from cluster.faults.instants import instants_of
from configs.schema import load_scenario
from configs.schema.faults import NodeFault, node_faults
from workers.host.rng import Rng


def crash(**when: Any) -> NodeFault:
    fault = {"type": "crash", "node": "decode-0", **when}
    return node_faults(load_scenario("demo", {"faults": [fault]}).faults)["fault-0"]


def test_at_once_at_a_time_or_at_no_time() -> None:
    rng = Rng(0)
    assert instants_of("a", crash(), rng) == (0,)
    assert instants_of("a", crash(start="2 us"), rng) == (2_000,)
    assert instants_of("a", crash(event={"kind": "start"}), rng) == ()
    assert instants_of("a", crash(transfer={"point": "moved"}), rng) == ()


def test_so_many_within_a_span_are_the_draws_themselves_in_order() -> None:
    fault, rng = crash(random={"count": 5, "within": "1 ms"}), Rng(7)
    found = instants_of("a", fault, rng)
    assert found == sorted(int(rng.uniform("fault at", "a", i) * 1_000_000) for i in range(5))
    assert found == instants_of("a", fault, Rng(7))
    assert found != instants_of("b", fault, rng) and found != instants_of("a", fault, Rng(8))


def test_gaps_of_a_rate_are_exponential() -> None:
    """At 2,000 a second a gap is 500 us in the mean; over 2 s there are 4,000, +- 63 (1 sigma), and
    a share of exp(-1) of the gaps is longer than the mean, +- 0.0077.
    """
    fault = crash(random={"rate": 2_000, "within": "2 s"})
    found = instants_of("a", fault, Rng(3))
    assert abs(len(found) - 4_000) < 4 * 63
    gaps = [after - before for before, after in zip([0, *found], found, strict=False)]
    assert min(gaps) >= 0 and max(found) < 2_000_000_000
    longer = sum(gap > 500_000 for gap in gaps) / len(gaps)
    assert longer == pytest.approx(math.exp(-1), abs=4 * 0.0077)
