"""Shards die whose experts have copies on others: no request fails, and no token is another."""

from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import answers, degrees, tokens
from tests.cluster.worlds.cluster import blueprint, run, settle
from tests.cluster.worlds.test_spares import SWITCH
from workers.host.trace import Noted

# Two copies of each of eight experts, on four shards.
COPIES: dict[str, Any] = {
    "cluster.nodes.experts.count": 4,
    "placement.experts.replicas": dict.fromkeys(range(8), 1),
}
CASES: dict[str, dict[str, Any]] = {
    "one": {},
    "ranks": degrees(prefill=(2, 1), decode=(2, 2)),
    "switch": SWITCH,
    "digest": {"model.numerics": "digest"},
    "micro-batches": {"model.micro_batches": 2},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("at_ns", [60_000, 101_000, 163_000, 240_000])
def test_no_request_fails_and_none_is_begun_anew(case: str, at_ns: int) -> None:
    """Within the step: the router hears nothing of it. The shard returns, and is asked again."""

    async def job(world: VirtualWorld) -> None:
        calm = tokens(await answers(world, "calm"))
        asked = world.gateway.spawn(answers(world), "ask")
        await world.clock.wait_until(world.clock.now() + at_ns)
        await world.kill("experts-1")
        heard = await asked
        assert tokens(heard) == calm and not any(one.code for one in heard)
        notes = [r.what for r in world.trace.records if isinstance(r, Noted)]
        assert "begun anew" not in notes
        assert tokens(await answers(world, "without")) == calm
        await world.revive("experts-1")
        assert tokens(await answers(world, "again")) == calm
        await settle(world)

    run(blueprint({**COPIES, **CASES[case]}), job)


def test_where_weights_are_shipped_its_requests_are_begun_anew_with_the_other_copies() -> None:
    async def job(world: VirtualWorld) -> None:
        calm = tokens(await answers(world, "calm"))
        asked = world.gateway.spawn(answers(world), "ask")
        await world.clock.wait_until(world.clock.now() + 150_000)
        await world.kill("experts-1")
        heard = await asked
        assert tokens(heard) == calm and not any(one.code for one in heard)
        await settle(world, dead=("experts-1",))

    run(blueprint({**COPIES, "placement.experts.mode": "ship"}), job)
