"""KV that lies with memory servers: tokens are those of chips that keep it, and all of it is let
go.
"""

from collections.abc import Mapping

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    Heard,
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip
from workers.host.trace import Delivered
from workers.memory.near_attention import NearAttention

# Prompts of 2 to 14 blocks; each grows by 2 to 3 blocks more.
REQUESTS = [request(f"r{i}", prompt_ids=prompt(i, 40 + 37 * i), max_tokens=40) for i in range(6)]
WITHOUT: Mapping[str, object] = {}


def near(keep: int = 1, **changes: object) -> dict[str, object]:
    return {"placement.kv_near": {"keep": keep, **changes}}


def counted(world: VirtualWorld, kind: str) -> int:
    return sum(isinstance(r, Delivered) and r.kind == kind for r in world.trace.records)


def rooms(world: VirtualWorld) -> list[int]:
    """Blocks held in each server's room, none of which may be lost track of."""
    found = []
    for server in workers_of(world, NearAttention).values():
        server.room.check_integrity()
        found.append(server.room.num_held)
    return found


def answers(
    changes: Mapping[str, object], kinds: tuple[str, ...] = (), *, through_frames: bool = False
) -> tuple[list[Heard], list[int]]:
    """What was heard, and how often messages of these kinds came."""

    async def job(world: VirtualWorld) -> tuple[list[Heard], list[int]]:
        heard = await ask_all(world, REQUESTS)
        await settle(world)
        assert not any(rooms(world))
        for chip in workers_of(world, Chip).values():
            chip._scheduler.check_integrity()
        return heard, [counted(world, kind) for kind in kinds]

    return run(blueprint(changes), job, through_frames=through_frames)


@pytest.fixture(scope="module")
def wanted() -> list[list[int]]:
    heard, _ = answers(WITHOUT)
    assert all(len(one.tokens) == 40 for one in heard)
    return [one.tokens for one in heard]


@pytest.mark.parametrize("mode", ["near", "ship"])
@pytest.mark.parametrize(("keep", "servers"), [(0, 1), (0, 2), (2, 3), (7, 2)])
def test_tokens_are_those_of_a_chip_that_keeps_all(
    wanted: list[list[int]], mode: str, keep: int, servers: int
) -> None:
    changes = {**near(keep, mode=mode), "cluster.nodes.pnm.count": servers}
    changes |= {"cluster.nodes.hbf": None} if servers == 1 else {}
    asked = "near_attend" if mode == "near" else "near_fetch"
    heard, counts = answers(changes, ("near_put", asked))
    assert [one.tokens for one in heard] == wanted
    assert min(counts) > 0, counts


def test_messages_survive_frames(wanted: list[list[int]]) -> None:
    heard, _ = answers(near(), through_frames=True)
    assert [one.tokens for one in heard] == wanted


def test_micro_batches_wait_for_their_own_parts(wanted: list[list[int]]) -> None:
    heard, _ = answers({**near(), "model.micro_batches": 2})
    assert [one.tokens for one in heard] == wanted


def test_what_a_server_refuses_stays_on_the_chip(wanted: list[list[int]]) -> None:
    """Two blocks in each: most find no room."""
    heard, (put,) = answers(near(0, blocks=2), ("near_put",))
    assert [one.tokens for one in heard] == wanted
    assert put > 4


def test_what_is_given_away_and_what_is_refused_is_counted() -> None:
    """A prompt of 40 tokens has 2 full blocks when it begins to decode, and one more with each 16
    tokens: at 48 and 64 of its 70. All four leave where there is room. Where there is one place no
    put finds room for all: of 2, of 3, of 4 blocks.
    """

    async def job(world: VirtualWorld) -> dict[str, int]:
        (heard,) = await ask_all(world, [request("r", prompt_ids=prompt(0, 40), max_tokens=31)])
        assert len(heard.tokens) == 31
        await settle(world)
        counts = [chip.counts for chip in workers_of(world, Chip).values()]
        return {key: sum(one[key] for one in counts) for key in ("near_given", "near_refused")}

    alone = {"cluster.nodes.hbf": None}
    roomy, full = (run(blueprint({**near(0, **b), **alone}), job) for b in ({}, {"blocks": 1}))
    assert roomy == {"near_given": 4, "near_refused": 0}
    assert full == {"near_given": 0, "near_refused": 9}


# Three sequences that end with 7 blocks each, on a chip of 16.
TIGHT: Mapping[str, object] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"},
    "model.num_kv_blocks": 16,
    "model.max_model_len": 128,
    "model.enable_prefix_caching": False,
    "placement.reserve": "watermark",
    "placement.kv_pool": False,
}
GROWING = [request(f"g{i}", prompt_ids=prompt(i, 40), max_tokens=64) for i in range(3)]


def grown(changes: Mapping[str, object]) -> tuple[list[list[int]], int]:
    """Tokens, and preemptions."""

    async def job(world: VirtualWorld) -> tuple[list[list[int]], int]:
        heard = await ask_all(world, GROWING)
        await settle(world)
        assert not any(rooms(world))
        (chip,) = workers_of(world, Chip).values()
        chip._scheduler.check_integrity()
        return [one.tokens for one in heard], chip.counts["preemptions"]

    return run(blueprint({**TIGHT, **changes}), job)


def test_a_chip_whose_cold_blocks_leave_has_room_for_more() -> None:
    tokens, preemptions = grown(WITHOUT)
    assert preemptions > 0
    assert grown(near(0)) == (tokens, 0)


def test_a_router_places_more_where_growth_leaves() -> None:
    """Long answers to short prompts, one after the other: 4 blocks each in the end. Beside what
    those before have grown to the last ones find no room, and beside their prompts they do.
    """

    async def job(world: VirtualWorld) -> int:
        wanted = [request(f"l{i}", prompt_ids=prompt(i, 12), max_tokens=50) for i in range(8)]
        (chip,) = workers_of(world, Chip).values()
        most = 0

        async def look() -> None:
            nonlocal most
            while True:
                most = max(most, chip._scheduler.num_running)
                await world.clock.wait_until(world.clock.now() + 10_000)

        looking = world.gateway.spawn(look(), "look")
        heard = await ask_all(world, wanted, apart_ns=400_000)
        looking.cancel()
        assert all(len(one.tokens) == 50 for one in heard)
        await settle(world)
        return most

    tight = {**TIGHT, "model.num_kv_blocks": 9, "model.max_model_len": 64}
    assert run(blueprint({**tight, **near(0)}), job) > run(blueprint(tight), job)


def test_a_preempted_sequence_lets_its_far_blocks_go_and_begins_again() -> None:
    """A server with room for one sequence alone, and a chip that is too small for the others."""
    changes = {"model.num_kv_blocks": 12, "cluster.nodes.pnm.count": 1, "cluster.nodes.hbf": None}
    tokens, without = grown(changes)
    again, preemptions = grown({**changes, **near(0, blocks=5)})
    assert again == tokens
    assert without > preemptions > 0
