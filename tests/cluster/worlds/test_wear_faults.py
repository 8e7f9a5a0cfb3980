"""Flash that wears out before its time: what lies there is served, what comes finds less room, and
nobody gets another token.
"""

from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import ask_all, prompt, request, run, workers_of
from tests.cluster.worlds.faulty import CHANGES, NUM, all_end_well_or_clearly, outcome
from workers.flash.wear import Wear
from workers.memory.memory_server import MemoryServer

IN_FILE = {
    "cluster.nodes.hbf.device.tiers.hbf.file": {
        "capacity": "1088 KiB", "pages_per_block": 16, "spare_blocks": 3,
    },
    "cluster.nodes.hbf.tiers.pool": "hbf",
    "cluster.nodes.pnm": None,
}  # fmt: skip
WORN: dict[str, Any] = {"type": "wear_out", "node": "hbf-0", "start": "500 us"}


def wear(world: VirtualWorld) -> Wear:
    return workers_of(world, MemoryServer)["memory-0"].flash_wear()["hbf"]


@pytest.mark.parametrize("share", [0.5, 1])
def test_all_are_answered_as_on_new_flash(share: float) -> None:
    found = outcome({**WORN, "start": "90 us", "attributes": {"share": share}}, **IN_FILE)
    assert found.told[0][:2] == (90_000, "hbf-0")
    assert found.told[0][2].startswith("fault-0: wear_out ") and "missed" not in found.told[0][2]
    assert [one.code for one in found.heard] == [""] * NUM
    all_end_well_or_clearly(found)


def test_worn_blocks_give_what_they_hold_and_take_no_more_also_after_a_restart() -> None:
    """All blocks wear out when the first prompt is pooled; the node dies at 2 ms."""
    dies = {"type": "crash", "node": "hbf-0", "start": "2 ms"}
    faults = [
        {**WORN, "attributes": {"share": 1}},
        {**dies, "attributes": {"restart_after": "100 us"}},
    ]
    scenario = load_scenario("demo", {**CHANGES, **IN_FILE, "faults": faults})

    async def job(world: VirtualWorld) -> None:
        (first,) = await ask_all(world, [request("first", prompt_ids=prompt(1))])
        await world.clock.wait_until(490_000)
        new, held = wear(world), workers_of(world, MemoryServer)["memory-0"].pool.num_blocks
        assert held and new.num_worn == new.num_bad == 0
        await world.clock.wait_until(600_000)
        old = wear(world)
        assert old.num_worn + old.num_bad == old.num_blocks and old.num_worn > 0
        assert old.capacity_bytes < new.capacity_bytes
        wanted = [request("second", prompt_ids=prompt(2)), request("third", prompt_ids=prompt(1))]
        second, third = await ask_all(world, wanted)
        assert (second.code, third.code, third.tokens) == ("", "", first.tokens)
        pool = workers_of(world, MemoryServer)["memory-0"].pool
        assert pool.statistics.num_refused > 0 and pool.num_blocks == held
        await world.clock.wait_until(2_500_000)
        again = wear(world)
        assert again.num_found == held
        assert (again.num_worn, again.num_bad) == (old.num_worn, old.num_bad)

    run(Blueprint.draw(scenario), job)
