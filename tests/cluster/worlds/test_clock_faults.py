"""Nodes whose clocks are wrong: deadlines that are told come out too short or too long, and whoever
fails of it says so; nobody gets another token.
"""

from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import run
from tests.cluster.worlds.faulty import CHANGES, CODES, NUM, all_end_well_or_clearly, calm, outcome

LONG: dict[str, Any] = {"type": "clock_skew", "duration": "20 ms"}
# Longer than the deadline of a request, 5 ms, and the timeout of a call.
FAR = "10 ms"


def skew(node: str, **attributes: object) -> dict[str, Any]:
    return {**LONG, "node": node, "attributes": attributes}


@pytest.mark.parametrize("fault", [skew("gateway", behind=FAR), skew("router", ahead=FAR)])
def test_a_deadline_that_is_over_when_it_is_heard_ends_the_request(fault: dict[str, Any]) -> None:
    found = outcome(fault)
    assert {one.code for one in found.heard} == {"deadline_exceeded"}
    assert not any(one.tokens for one in found.heard)
    all_end_well_or_clearly(found)


@pytest.mark.parametrize("fault", [skew("gateway", ahead=FAR), skew("experts-0", behind=FAR)])
def test_one_that_comes_too_late_hurts_nobody(fault: dict[str, Any]) -> None:
    found = outcome(fault)
    assert [one.code for one in found.heard] == [""] * NUM
    all_end_well_or_clearly(found)


@pytest.mark.parametrize(
    "node", ["gateway", "router", "prefill-0", "decode-0", "experts-0", "hbf-0"]
)
@pytest.mark.parametrize("way", ["ahead", "behind"])
@pytest.mark.parametrize("by", ["50 us", "1 ms", FAR])
def test_whoever_is_wrong_all_end_well_or_clearly(node: str, way: str, by: str) -> None:
    """A chip that is ahead lets go of a sequence before its KV comes: then that finds nobody."""
    all_end_well_or_clearly(outcome(skew(node, **{way: by})), CODES)


def test_clocks_that_are_as_wrong_agree() -> None:
    nodes = load_scenario("demo", CHANGES).cluster.nodes
    names = [node for name, group in nodes.items() for node in group.node_names(name)]
    found = outcome(*(skew(node, ahead=FAR) for node in names))
    assert found.heard == calm().heard


def test_a_clock_that_is_right_again_does_no_more_harm() -> None:
    found = outcome({**skew("router", ahead=FAR), "duration": "30 us"})
    assert found.told == [
        (0, "router", "fault-0: clock_skew 10000000 ns 0 ppm"),
        (30_000, "router", "fault-0: clock_skew ends"),
    ]
    assert [one.code for one in found.heard] == ["deadline_exceeded"] * 2 + [""] * 2


def test_a_slow_clock_is_patient_and_a_fast_one_is_not() -> None:
    """A tenth off: a wait of 1 ms ends after 1 ms over 0.9, or over 1.1."""
    faults = [skew("decode-0", drift=-100_000), skew("prefill-0", drift=100_000)]
    scenario = load_scenario("demo", {**CHANGES, "faults": faults})

    async def job(world: VirtualWorld) -> None:
        await world.clock.wait_until(1_000)
        for node, right in (("decode-0", 1_111_111), ("prefill-0", 909_091)):
            clock, begun_ns = world.nodes[node].clock, world.clock.now()
            with pytest.raises(Exception, match="deadline"):
                async with clock.deadline(begun_ns + 1_000_000):
                    await clock.wait_until(begun_ns + 9_000_000)
            assert world.clock.now() - begun_ns == right

    run(Blueprint.draw(scenario), job)


def test_a_clock_stays_wrong_over_a_restart() -> None:
    dies = {"type": "crash", "node": "router", "start": "5 us"}
    found = outcome(skew("router", ahead=FAR), {**dies, "attributes": {"restart_after": "10 us"}})
    assert "" not in {one.code for one in found.heard}
    all_end_well_or_clearly(found)
