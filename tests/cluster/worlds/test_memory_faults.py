"""Nodes whose memory is a neighbour's for a while: whoever needs a block that cannot be had waits,
or is preempted and computed again; nobody gets another token.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import ask_all, prompt, request, run, workers_of
from tests.cluster.worlds.faulty import (
    CHANGES,
    NUM,
    Outcome,
    all_end_well_or_clearly,
    calm,
    outcome,
)
from workers.chip.chip import Chip
from workers.memory.memory_server import MemoryServer

FULL = {"type": "out_of_memory", "node": "decode-0", "start": "130 us", "duration": "400 us"}
BACK_NS = 530_000


def told(node: str) -> list[tuple[int, str, str]]:
    return [
        (130_000, node, "fault-0: out_of_memory 100%"),
        (BACK_NS, node, "fault-0: out_of_memory ends"),
    ]


@pytest.mark.parametrize("node", ["prefill-0", "decode-0", "hbf-0"])
def test_all_are_answered_as_if_there_had_been_room(node: str) -> None:
    found = outcome({**FULL, "node": node})
    assert found.told == told(node)
    assert [one.code for one in found.heard] == [""] * NUM
    all_end_well_or_clearly(found)


ALONE = {
    "cluster.nodes.decode.count": 1, "model.enable_prefix_caching": False, "model.block_size": 4,
}  # fmt: skip


def computes(found: Outcome) -> list[int]:
    """When decode-0 computes."""
    return [r.at_ns for r in found.runs if r.node == "decode-0" and r.work == "attention"]


def test_who_has_no_block_for_the_next_token_waits_until_there_is_one() -> None:
    """Blocks of four tokens: within four steps each sequence needs one that it cannot have."""
    found = outcome(FULL, **ALONE)
    assert [one.code for one in found.heard] == [""] * NUM
    assert [one.tokens for one in found.heard] == [one.tokens for one in calm().heard]
    here = computes(found)
    assert any(at_ns < 130_000 for at_ns in here) and any(at_ns > BACK_NS for at_ns in here)
    assert not [at_ns for at_ns in here if 400_000 < at_ns < BACK_NS]


def test_a_chip_gives_no_block_and_gets_all_back() -> None:
    scenario = load_scenario("demo", {**CHANGES, "faults": [{**FULL, "start": "10 us"}]})

    async def job(world: VirtualWorld) -> None:
        blocks = workers_of(world, Chip)["decode-0"]._scheduler.blocks
        assert blocks.num_free == blocks.num_blocks
        await world.clock.wait_until(100_000)
        assert blocks.num_free == 0 and not blocks.can_allocate(1)
        assert workers_of(world, Chip)["decode-0"].held()["blocks"] == 0, "nobody here holds any"
        await world.clock.wait_until(500_000)
        assert blocks.num_free == blocks.num_blocks

    run(Blueprint.draw(scenario), job)


def shares(*given: float) -> list[Mapping[str, Any]]:
    return [{**FULL, "start": "10 us", "attributes": {"share": share}} for share in given]


@pytest.mark.parametrize(("given", "left"), [((0.5,), 128), ((0.5, 0.25), 64), ((0.7, 0.7), 0)])
def test_shares_of_neighbours_add_up(given: tuple[float, ...], left: int) -> None:
    scenario = load_scenario("demo", {**CHANGES, "faults": shares(*given)})

    async def job(world: VirtualWorld) -> None:
        await world.clock.wait_until(100_000)
        assert workers_of(world, Chip)["decode-0"]._scheduler.blocks.num_free == left

    run(Blueprint.draw(scenario), job)


def test_a_pool_without_memory_keeps_nothing_and_refuses() -> None:
    """The first request is over at 389 us; all is gone at 500 us, and nothing more is taken."""
    late = {**FULL, "node": "hbf-0", "start": "500 us", "duration": "2 ms"}
    scenario = load_scenario("demo", {**CHANGES, "faults": [late]})

    async def job(world: VirtualWorld) -> None:
        await ask_all(world, [request("early", prompt_ids=prompt(1))])
        pool = workers_of(world, MemoryServer)["memory-0"].pool
        before = pool.num_blocks
        await world.clock.wait_until(600_000)
        assert before and pool.num_blocks == 0
        await ask_all(world, [request(f"late{i}", prompt_ids=prompt(2 + i)) for i in range(3)])
        await world.clock.wait_until(2_400_000)
        assert pool.num_blocks == 0 and pool.statistics.num_refused > 0

    run(Blueprint.draw(scenario), job)


def test_the_next_incarnation_has_all_of_its_memory() -> None:
    dies = {"type": "crash", "node": "decode-0", "start": "150 us"}
    found = outcome({**FULL, "duration": "2 ms"}, {**dies, "attributes": {"restart_after": "9 us"}})
    assert [text for _, _, text in found.told] == [
        "fault-0: out_of_memory 100%",
        "fault-1: crash",
        "fault-1: restart",
    ]
    all_end_well_or_clearly(found)
