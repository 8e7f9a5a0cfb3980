"""KV that lies with memory servers, where somebody goes, dies or is silent: nothing is left behind,
and no token comes of a part of its keys.
"""

from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    ask,
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from tests.cluster.worlds.test_near_kv import REQUESTS, answers, counted, near, rooms, wanted
from workers.chip.chip import Chip
from workers.memory.near_attention import NearAttention

__all__ = ["wanted"]  # a fixture


def test_a_reader_that_goes_frees_the_servers() -> None:
    async def job(world: VirtualWorld) -> None:
        gone = world.gateway.spawn(ask(world, REQUESTS[5]), "gone")
        while not any(rooms(world)):
            await world.clock.wait_until(world.clock.now() + 10_000)
        gone.cancel()
        await settle(world)
        assert not any(rooms(world))

    run(blueprint(near()), job)


# What is read of its memory takes 50 us longer than on an H100.
SLOW = {"base": "h100-sxm", "tiers": {"hbm": {"read_latency": "50 us"}}}


@pytest.mark.parametrize("after_us", range(0, 90, 10))
def test_a_reader_that_goes_while_blocks_leave_frees_the_servers(after_us: int) -> None:
    """Its blocks are read for 50 us and put for some more: the drop may be sent before the put."""
    chip = {"workers": ["chip"], "device": SLOW, "link": "lowlat-2us"}
    changes = {"cluster.nodes.prefill": None, "cluster.nodes.decode": None}

    async def job(world: VirtualWorld) -> None:
        gone = world.gateway.spawn(ask(world, REQUESTS[5]), "gone")
        (one,) = workers_of(world, Chip).values()
        assert one._stepper._far is not None
        while not one._stepper._far.num_sequences:
            await world.clock.wait_until(world.clock.now() + 1_000)
        await world.clock.wait_until(world.clock.now() + 1_000 * after_us)
        gone.cancel()
        await settle(world)
        assert not any(rooms(world))

    run(blueprint({**near(), **changes, "cluster.nodes.chip": chip}), job)


async def _with_far_blocks(world: VirtualWorld) -> Any:
    """A long answer under way, whose blocks lie with both servers."""
    asked = world.gateway.spawn(ask(world, REQUESTS[5]), "asked")
    while not all(rooms(world)):
        await world.clock.wait_until(world.clock.now() + 10_000)
    return asked


async def _lost(world: VirtualWorld) -> int:
    """Sequences that lost keys and were computed again, on all chips."""
    counts = await world.ask_each(list(world.seats), "counts")
    return sum(each.get("near_lost", 0) for each in counts.values())


@pytest.mark.parametrize("mode", ["near", "ship"])
@pytest.mark.parametrize("numerics", ["real", "digest"])
def test_those_that_had_blocks_with_a_server_that_dies_are_computed_again(
    numerics: str, mode: str
) -> None:
    """And say what they would have said; nothing is given away again."""
    plain = {"model.numerics": numerics}

    async def calm(world: VirtualWorld) -> list[int]:
        return (await ask(world, REQUESTS[5])).tokens

    async def job(world: VirtualWorld) -> list[int]:
        asked = await _with_far_blocks(world)
        server = next(iter(workers_of(world, NearAttention).values()))
        await world.kill(server._node.name)
        heard = await asked
        assert heard.code == "" and await _lost(world) == 1
        await settle(world, dead=(server._node.name,))
        return heard.tokens

    assert run(blueprint({**near(mode=mode), **plain}), job) == run(blueprint(plain), calm)


@pytest.mark.parametrize("mode", ["near", "ship"])
def test_blocks_that_a_server_has_lost_are_computed_again(
    wanted: list[list[int]], mode: str
) -> None:
    """Never a token from a part of its keys; that none of them is there is an answer, no bug."""

    async def job(world: VirtualWorld) -> None:
        asked = await _with_far_blocks(world)
        server = next(iter(workers_of(world, NearAttention).values()))
        for chip in ("decode-0", "decode-1"):
            server.room.drop_chip(chip)
        heard = await asked
        assert heard.code == "" and heard.tokens == wanted[5]
        assert await _lost(world) == 1
        await settle(world)
        assert not any(rooms(world))

    run(blueprint(near(mode=mode)), job)


def test_a_server_that_is_silent_costs_whom_it_serves_its_timeout(
    wanted: list[list[int]],
) -> None:
    """Its answers are lost for good: a quarter of the deadline passes, once."""

    async def job(world: VirtualWorld) -> None:
        short = request("short", prompt_ids=prompt(9, 5), max_tokens=6)
        long, other = await ask_all(world, [REQUESTS[5], short])
        assert long.tokens == wanted[5] and await _lost(world) == 1
        timeout_ns = world.blueprint.timeout_ns
        assert timeout_ns < long.ended_ns < 2 * timeout_ns
        assert len(other.tokens) == 6
        await settle(world)
        assert not any(rooms(world))

    lost = {"type": "drop", "kind": "near_parts", "source": "memory-0"}
    run(blueprint({**near(), "faults": [lost]}), job)


@pytest.mark.parametrize("kind", ["drop", "duplicate", "corrupt"])
def test_a_bad_link_changes_no_token(wanted: list[list[int]], kind: str) -> None:
    names = ("near_put", "near_stored", "near_attend", "near_parts", "near_drop")
    bad = [{"type": kind, "kind": name, "toxicity": 0.1} for name in names]
    heard, _ = answers({**near(), "faults": bad})
    assert [one.tokens for one in heard] == wanted


def test_a_drop_is_said_until_it_is_heard() -> None:
    """For two and a half times as long as a call may take none arrives; later they do."""

    async def job(world: VirtualWorld) -> None:
        timeout_ns = world.blueprint.timeout_ns
        heard = await ask_all(world, REQUESTS[:4])
        assert all(len(one.tokens) == 40 for one in heard)
        await world.clock.wait_until(2 * timeout_ns)
        assert any(rooms(world)) and counted(world, "near_drop") == 0
        await world.clock.wait_until(4 * timeout_ns)
        assert not any(rooms(world))
        await settle(world)

    silent = {"type": "drop", "kind": "near_drop", "duration": "25 ms"}
    run(blueprint({**near(), "slo.deadline": "40 ms", "faults": [silent]}), job)


def test_blocks_that_come_after_their_sequence_has_gone_are_not_kept() -> None:
    late = {"type": "latency", "kind": "near_put", "attributes": {"latency": "5 ms"}}

    async def job(world: VirtualWorld) -> None:
        heard = await ask(world, REQUESTS[5])
        assert len(heard.tokens) == 40
        assert counted(world, "near_put") == 0, "on its way still"
        assert counted(world, "near_attend") == 0, "no query before its keys are there"
        await world.clock.wait_until(world.clock.now() + 20_000_000)
        assert counted(world, "near_put") > 0
        assert not any(rooms(world))
        await settle(world)

    run(blueprint({**near(), "faults": [late]}), job)


def test_a_chip_that_dies_frees_the_servers(wanted: list[list[int]]) -> None:
    async def job(world: VirtualWorld) -> None:
        asked = await _with_far_blocks(world)
        for chip in workers_of(world, Chip).values():
            if chip.held()["blocks"]:
                await world.kill(chip._node.name)
        heard = await asked
        assert (heard.code, heard.tokens) == ("", wanted[5])
        assert not any(rooms(world))

    run(blueprint(near()), job)
