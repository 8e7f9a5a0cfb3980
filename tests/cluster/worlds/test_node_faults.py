"""Faults of nodes in the virtual world: each at its exact instant, told in the trace; all are
answered with the right tokens or clearly failed, and nothing is held afterwards.
"""

from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run, settle
from tests.cluster.worlds.faulty import (
    CHANGES,
    NUM,
    Outcome,
    all_end_well_or_clearly,
    calm,
    outcome,
)
from workers.host.trace import Noted, Ran


def test_without_faults_no_node_has_anything_of_theirs() -> None:
    async def job(world: VirtualWorld) -> None:
        assert world._firing.tap is None and not world.host.gates and not world.host.limited
        for node in world.nodes.values():
            assert node.clock is world.clock and not node.endpoint.rules

    run(blueprint(), job)


PAUSE = {"type": "pause", "node": "decode-0", "start": "125 us", "duration": "300 us"}


def test_a_pause_holds_all_of_a_node_and_changes_no_token() -> None:
    """Two dispatches are out when decode-0 stops: their answers come to its link as ever, and are
    heard of when it goes on.
    """
    found = outcome(PAUSE)
    assert found.told == [
        (125_000, "decode-0", "fault-0: pause"),
        (425_000, "decode-0", "fault-0: resume"),
    ]
    assert [one.code for one in found.heard] == [""] * NUM
    assert [one.tokens for one in found.heard] == [one.tokens for one in calm().heard]
    late = [r for r in found.deliveries if r.destination == "decode-0" and r.late_ns > 0]
    assert [(r.kind, r.at_ns, r.at_ns + r.late_ns) for r in late] == [
        ("combine", r.at_ns, 425_000)
        for r in calm().deliveries
        if r.destination == "decode-0" and 125_000 < r.at_ns < 130_000
    ]
    assert len(late) == 2
    # Nor did it say anything: what left before is there after the longest path, of 10 us.
    here = [r.at_ns for r in found.deliveries if r.source == "decode-0"]
    assert not [at_ns for at_ns in here if 135_000 < at_ns < 425_000]


def test_links_and_devices_of_a_paused_node_end_what_they_have_begun() -> None:
    """What it launched before is done when it would have been; only the next comes late."""
    found = outcome({**PAUSE, "start": "130 us"})

    def runs(one: Outcome, until_ns: int) -> list[Ran]:
        return [r for r in one.runs if r.node == "decode-0" and r.at_ns < until_ns]

    begun_before = runs(calm(), 130_000 + 3_265)
    assert begun_before[-1].at_ns > 130_000, "one is being computed when it stops"
    assert runs(found, 430_000) == begun_before


@pytest.mark.parametrize("node", ["gateway", "router", "prefill-0", "experts-0", "hbf-0"])
def test_whoever_is_paused_says_nothing_and_all_are_answered(node: str) -> None:
    found = outcome({**PAUSE, "node": node, "start": "90 us", "duration": "200 us"})
    assert [one.code for one in found.heard] == [""] * NUM
    all_end_well_or_clearly(found)
    worker = {"hbf-0": "memory-0"}.get(node, node)
    here = [r.at_ns for r in found.deliveries if r.source == worker]
    assert not [at_ns for at_ns in here if 100_000 < at_ns < 290_000]
    assert any(at_ns > 290_000 for at_ns in here)


def test_pauses_that_overlap_add_up_to_their_union() -> None:
    spells: list[dict[str, Any]] = [
        {"type": "pause", "node": "decode-0", "start": "130 us", "duration": "100 us"},
        {"type": "pause", "node": "decode-0", "start": "200 us", "duration": "200 us"},
    ]
    found = outcome(*spells)
    here = [r for r in found.deliveries if r.source == "decode-0"]
    assert not [r for r in here if 140_000 < r.at_ns < 400_000]
    assert [one.code for one in found.heard] == [""] * NUM


def test_a_slow_node_takes_as_many_times_as_long_for_a_while() -> None:
    """The same work of one sequence takes four times as long at first, and as long at last."""
    slow = {
        "type": "slow", "node": "decode-0", "duration": "250 us", "attributes": {"factor": 4},
    }  # fmt: skip
    found = outcome(slow)
    assert found.told == [
        (0, "decode-0", "fault-0: slow 4"),
        (250_000, "decode-0", "fault-0: slow ends"),
    ]
    runs, right = (
        [r.took_ns for r in one.runs if r.node == "decode-0" and r.work == "attention"]
        for one in (found, calm())
    )
    assert runs[0] == 4 * right[0] and runs[-1] == right[-1]
    assert [one.tokens for one in found.heard] == [one.tokens for one in calm().heard]


def test_slow_spells_at_once_multiply() -> None:
    slow = {
        "type": "slow", "node": "decode-0", "duration": "1 ms", "attributes": {"factor": 3},
    }  # fmt: skip
    found = outcome(slow, {**slow, "attributes": {"factor": 2}})
    first, right = (
        next(r for r in one.runs if r.node == "decode-0" and r.work == "attention")
        for one in (found, calm())
    )
    assert first.took_ns == 6 * right.took_ns


@pytest.mark.parametrize("node", ["router", "prefill-0", "decode-0", "experts-0", "hbf-0"])
@pytest.mark.parametrize("at_us", [10, 75, 130, 300])
def test_whoever_crashes_everybody_ends_and_the_next_incarnation_serves(
    node: str, at_us: int
) -> None:
    fault = {"type": "crash", "node": node, "start": f"{at_us} us"}
    found = outcome({**fault, "attributes": {"restart_after": "100 us"}})
    assert found.told == [
        (at_us * 1_000, node, "fault-0: crash"),
        ((at_us + 100) * 1_000, node, "fault-0: restart"),
    ]
    all_end_well_or_clearly(found)


def test_without_restart_after_it_stays_dead() -> None:
    found = outcome({"type": "crash", "node": "experts-1", "start": "100 us"})
    assert found.told == [(100_000, "experts-1", "fault-0: crash")]
    all_end_well_or_clearly(found)
    assert {one.code for one in found.heard} == {"peer_dead"}


def test_a_crash_of_a_paused_node_is_at_once_and_its_next_incarnation_is_not_paused() -> None:
    found = outcome(
        {"type": "pause", "node": "decode-0", "start": "100 us", "duration": "2 ms"},
        {
            "type": "crash", "node": "decode-0", "start": "130 us",
            "attributes": {"restart_after": "50 us"},
        },
    )  # fmt: skip
    assert found.told == [
        (100_000, "decode-0", "fault-0: pause"),
        (130_000, "decode-0", "fault-1: crash"),
        (180_000, "decode-0", "fault-1: restart"),
    ]
    all_end_well_or_clearly(found)


def test_two_that_come_back_at_once_meet_each_other_though_a_third_stands_still() -> None:
    """experts-0 and decode-1 are back at 200 us, and the router hears of both when it goes on."""
    back = {"type": "crash", "start": "100 us", "attributes": {"restart_after": "100 us"}}
    faults = [
        {**PAUSE, "node": "router", "start": "150 us", "duration": "100 us"},
        {**back, "node": "experts-0"},
        {**back, "node": "decode-1"},
    ]
    scenario = load_scenario("demo", {**CHANGES, "faults": faults})

    async def job(world: VirtualWorld) -> None:
        await world.clock.wait_until(300_000)
        knows = await world.ask_each(list(world.seats), "knows")
        right = {node: 1 + (node in ("experts-0", "decode-1")) for node in world.seats}
        assert all(living == right for living in knows.values())
        notes = [r for r in world.trace.records if isinstance(r, Noted) and "restart" in r.detail]
        assert [r.at_ns for r in notes] == [250_000, 250_000]

    run(Blueprint.draw(scenario), job)


def test_one_that_dies_while_another_comes_back_is_known_to_be_dead() -> None:
    """decode-1 dies while experts-0 waits for the router to hear of it."""
    faults = [
        {**PAUSE, "node": "router", "start": "150 us", "duration": "100 us"},
        {"type": "crash", "node": "experts-0", "start": "100 us",
         "attributes": {"restart_after": "100 us"}},
        {"type": "crash", "node": "decode-1", "start": "220 us"},
    ]  # fmt: skip
    scenario = load_scenario("demo", {**CHANGES, "faults": faults})

    async def job(world: VirtualWorld) -> None:
        await world.clock.wait_until(300_000)
        alive = [node for node in world.seats if node != "decode-1"]
        knows = await world.ask_each(alive, "knows")
        right = {node: 1 + (node == "experts-0") for node in alive}
        assert all(living == right for living in knows.values())
        assert {member.node: member.epoch for member in world.members} == right

    run(Blueprint.draw(scenario), job)


def test_who_dies_twice_is_missed_the_second_time() -> None:
    dies = {"type": "crash", "node": "experts-1"}
    found = outcome({**dies, "start": "100 us"}, {**dies, "start": "120 us", "name": "second"})
    assert found.told[1] == (120_000, "experts-1", "second: crash missed: the node is dead")


@pytest.mark.parametrize("at_us", [10, 75, 130, 300])
def test_a_gateway_that_crashes_takes_its_readers_along_and_the_next_one_serves(
    at_us: int,
) -> None:
    back = {"attributes": {"restart_after": "100 us"}, "start": f"{at_us} us"}
    faults = [{"type": "crash", "node": "gateway", **back}]
    scenario = load_scenario("demo", {**CHANGES, "faults": faults})
    right = calm().heard[1].tokens

    async def job(world: VirtualWorld) -> None:
        wanted = [request(f"r{i}", prompt_ids=prompt(i)) for i in range(NUM)]
        readers = [world.gateway.spawn(ask(world, one), one.request_id) for one in wanted]
        await world.clock.wait_until(500_000)
        assert all(reader.cancelled() for reader in readers)
        again = await ask(world, request("again", prompt_ids=prompt(1)))
        assert (again.code, again.tokens) == ("", right)
        await settle(world)

    run(Blueprint.draw(scenario), job)
