"""Chips that come and leave while requests run, in exact time: no request notices."""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.router.machine.state import RouterState
from cluster.router.router import Router
from cluster.worlds.raising import busy_with
from cluster.worlds.scaling import counts_of, scaled
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

STREAMS, TOKENS = 8, 200


def wanted(name: str, tokens: int = TOKENS, *, first: int = 0) -> list[Any]:
    """Prompts from number `first` on: a chip that has seen one is asked for it again."""
    return [
        request(f"{name}{i}", prompt_ids=prompt(first + i, 20 + 9 * i), max_tokens=tokens)
        for i in range(STREAMS)
    ]


def state_of(world: VirtualWorld) -> RouterState:
    (router,) = workers_of(world, Router).values()
    return router.state


def all_right(heard: list[Heard], right: list[list[int]]) -> None:
    assert [one.code for one in heard] == [""] * len(heard)
    assert [one.tokens for one in heard] == right


@pytest.fixture(scope="module")
def undisturbed() -> list[list[int]]:
    async def job(world: VirtualWorld) -> list[list[int]]:
        return [one.tokens for one in await ask_all(world, wanted("r"), apart_ns=9_000)]

    return run(blueprint(), job)


def _has_computed(world: VirtualWorld, chip: str) -> bool:
    return workers_of(world, Chip)[chip]._scheduler.blocks.num_cached > 0


async def after(world: VirtualWorld, wait_ns: int) -> None:
    await world.clock.wait_until(world.clock.now() + wait_ns)


@pytest.fixture(scope="module")
def others() -> list[list[list[int]]]:
    """Of two more crowds, short ones, of prompts that nobody has seen."""

    async def job(world: VirtualWorld) -> list[list[list[int]]]:
        crowds = [await ask_all(world, wanted(f"{n}-", 8, first=n * STREAMS)) for n in (1, 2)]
        return [[one.tokens for one in crowd] for crowd in crowds]

    return run(blueprint(), job)


@pytest.mark.parametrize("group", ["decode", "prefill"])
@pytest.mark.parametrize("at_ns", [1_000, 60_000, 900_000])
def test_streams_go_on_over_more_chips_and_fewer(
    group: str, at_ns: int, undisturbed: list[list[int]], others: list[list[list[int]]]
) -> None:
    async def job(world: VirtualWorld) -> None:
        for epoch in (1, 2):
            before = counts_of(world.blueprint, [group])
            streams = world.gateway.spawn(ask_all(world, wanted("r"), apart_ns=9_000), "ask")
            await after(world, at_ns)
            await world.scale({group: 4})
            assert f"{group}-3" in world.seats and counts_of(world.blueprint, [group])[-1] == "4"
            assert world.nodes[f"{group}-3"].epoch == epoch
            more = await ask_all(world, wanted("s", 8, first=epoch * STREAMS))
            all_right(more, others[epoch - 1])
            assert _has_computed(world, f"{group}-2") and _has_computed(world, f"{group}-3")
            await world.scale({group: int(before[-1])})
            assert f"{group}-3" not in world.seats
            all_right(await streams, undisturbed)
            await settle(world)
        assert {name[:-1] for name in state_of(world).chips} == {"prefill-", "decode-"}
        assert len(state_of(world).chips) == 3

    run(blueprint(), job)


def test_a_chip_that_leaves_ends_what_it_has(undisturbed: list[list[int]]) -> None:
    """Both decode chips have streams when one is to go; it goes when its last stream ended."""

    async def job(world: VirtualWorld) -> None:
        streams = world.gateway.spawn(ask_all(world, wanted("r"), apart_ns=9_000), "ask")
        await after(world, 400_000)
        chips = state_of(world).chips
        assert chips["decode-0"].num_requests and chips["decode-1"].num_requests
        leaves = world.gateway.spawn(world.scale({"decode": 1}), "scale")
        await after(world, 100_000)
        assert chips["decode-1"].is_draining and not leaves.done()
        late = request("late", prompt_ids=prompt(0, 20), max_tokens=TOKENS)
        all_right(await ask_all(world, [late]), undisturbed[:1])
        await leaves
        assert list(chips) == ["prefill-0", "decode-0"]
        all_right(await streams, undisturbed)
        await settle(world)

    run(blueprint(), job)


def test_a_prefill_chip_that_leaves_first_hands_over_what_it_has_computed() -> None:
    """Over a slow link: for the router it is done with the first tokens, and KV is on its way."""
    slow = {"cluster.nodes.prefill.count": 2, "cluster.nodes.prefill.link.bandwidth": "20 MB/s"}

    async def calm(world: VirtualWorld) -> list[list[int]]:
        return [one.tokens for one in await ask_all(world, wanted("r", 4))]

    async def job(world: VirtualWorld) -> None:
        streams = world.gateway.spawn(ask_all(world, wanted("r", 4)), "ask")
        await after(world, 100_000)
        leaves = world.gateway.spawn(world.scale({"prefill": 1}), "scale")
        while "prefill-1" in world.seats and not state_of(world).is_done("prefill-1"):
            await after(world, 10_000)
        held = await world.seats["prefill-1"].chips_hold()
        assert held["jobs"] and held["blocks"] and held["calls"] and not leaves.done()
        await leaves
        all_right(await streams, right)
        await settle(world)

    right = run(blueprint(slow), calm)
    run(blueprint(slow), job)


def test_one_group_grows_while_another_shrinks(undisturbed: list[list[int]]) -> None:
    async def job(world: VirtualWorld) -> None:
        streams = world.gateway.spawn(ask_all(world, wanted("r"), apart_ns=9_000), "ask")
        await after(world, 200_000)
        await world.scale({"decode": 1, "prefill": 3})
        assert counts_of(world.blueprint, ["decode", "prefill"]) == "decode 1, prefill 3"
        all_right(await streams, undisturbed)
        await settle(world)

    run(blueprint(), job)


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("counts", [{"decode": 3}, {"decode": 1}])
def test_a_router_that_comes_back_has_the_chips_of_now(
    journal: bool, counts: Mapping[str, int], undisturbed: list[list[int]]
) -> None:
    async def job(world: VirtualWorld) -> None:
        await world.scale(counts)
        await world.kill("router")
        await world.revive("router")
        assert len(state_of(world).chips) == 1 + counts["decode"]
        assert all(chip.alive for chip in state_of(world).chips.values())
        all_right(await ask_all(world, wanted("r"), apart_ns=9_000), undisturbed)
        await settle(world)

    run(blueprint({"cluster.router_journal": journal}), job)


@pytest.mark.parametrize("count", [1, 4])
def test_chips_that_came_or_left_while_the_router_was_away(
    count: int, undisturbed: list[list[int]]
) -> None:
    """Its journal knows other chips than the cluster has when it is back."""

    async def job(world: VirtualWorld) -> None:
        streams = world.gateway.spawn(ask_all(world, wanted("r"), apart_ns=9_000), "ask")
        await after(world, 400_000)
        await world.kill("router")
        world.blueprint = scaled(world.blueprint, {"decode": count})
        for member in world.members:
            await world.seats[member.node].extend(world.blueprint)
        if count == 1:
            await world.kill("decode-1")
            del world.seats["decode-1"]
        await world.revive("router")
        assert len(state_of(world).chips) == 1 + count
        all_right(await streams, undisturbed)
        for number in range(2, count):
            await world.place(f"decode-{number}", 1)
            await world.revive(f"decode-{number}")
        assert all(chip.alive for chip in state_of(world).chips.values())
        all_right(await ask_all(world, wanted("s")), undisturbed)
        await settle(world)

    run(blueprint(), job)


def test_a_chip_drains_on_over_the_router_s_return(undisturbed: list[list[int]]) -> None:
    """Its streams begin anew on the chip that stays, and it has nothing left."""

    async def job(world: VirtualWorld) -> None:
        streams = world.gateway.spawn(ask_all(world, wanted("r"), apart_ns=9_000), "ask")
        await after(world, 400_000)
        now, leaving = world.blueprint, ["decode-1"]
        assert await busy_with(world, world.members, now, leaving) == leaving
        await world.kill("router")
        await world.revive("router")
        assert state_of(world).chips["decode-1"].is_draining
        await world.scale({"decode": 1})
        assert list(state_of(world).chips) == ["prefill-0", "decode-0"]
        all_right(await streams, undisturbed)
        await settle(world)

    run(blueprint(), job)


def test_a_chip_that_dies_while_it_drains_leaves_too(undisturbed: list[list[int]]) -> None:
    async def job(world: VirtualWorld) -> None:
        streams = world.gateway.spawn(ask_all(world, wanted("r"), apart_ns=9_000), "ask")
        await after(world, 400_000)
        leaves = world.gateway.spawn(world.scale({"decode": 1}), "scale")
        await after(world, 100_000)
        await world.kill("decode-1")
        await leaves
        heard = await streams
        all_right(heard, undisturbed)
        await settle(world)

    run(blueprint(), job)


def test_a_chip_that_leaves_while_all_are_asked_counts_nothing() -> None:
    async def job(world: VirtualWorld) -> None:
        directory = world.blueprint.plan.directory
        staying = {worker: node for worker, node in directory.items() if node != "decode-1"}
        world.nodes["router"].members.become(staying)
        told = await world.client.held_everywhere()
        assert "router_silent" not in told and not any(told.values())

    run(blueprint(), job)
