"""What may happen to a request that waits for its blocks again, and to those beside it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import Outage
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from tests.cluster.worlds.pressure import FEW, PLACES, expected, preempted
from workers.chip.chip import Chip
from workers.errors import InvalidRequest
from workers.kv.checksums import NO_SUMS, sealed
from workers.kv.identity import Owner, tokens_number
from workers.wire.kinds.kv import KvBlocks

NAMES = ("r0", "r1", "r2", "r3")


@dataclass
class Crowd:
    """Four requests that came one after the other, and who was preempted first."""

    world: VirtualWorld
    heard: dict[str, Heard] = field(default_factory=dict)
    tasks: dict[str, "asyncio.Task[Heard]"] = field(default_factory=dict)
    begun_ns: dict[str, int] = field(default_factory=dict)
    victim: str = ""
    victim_ns: int = 0

    async def begin(self, **deadlines_ns: int) -> None:
        """Until one is preempted; it still waits then."""
        for number, name in enumerate(NAMES):
            wanted = request(
                name,
                prompt_ids=prompt(number),
                max_tokens=50,
                deadline_ns=deadlines_ns.get(name),
            )
            self.heard[name], self.begun_ns[name] = Heard(), self.world.clock.now()
            reading = ask(self.world, wanted, self.heard[name])
            self.tasks[name] = self.world.gateway.spawn(reading, name)
            await self.world.clock.wait_until(self.world.clock.now() + 2_000)
        while not preempted(self.world):
            await self.world.clock.wait_until(self.world.clock.now() + 1_000)
        self.victim = preempted(self.world)[0].request_id
        self.victim_ns = preempted(self.world)[0].at_ns

    async def end(self) -> None:
        for task in self.tasks.values():
            with suppress(asyncio.CancelledError):
                await task
        await settle(self.world)


def crowd_with(place: str, trouble: Callable[[Crowd], Awaitable[None]]) -> Crowd:
    async def job(world: VirtualWorld) -> Crowd:
        crowd = Crowd(world)
        await crowd.begin()
        await trouble(crowd)
        await crowd.end()
        return crowd

    return run(blueprint({**FEW, **PLACES[place]}), job)


def assert_exact_but(crowd: Crowd, *names: str) -> None:
    for number, name in enumerate(NAMES):
        tokens = crowd.heard[name].tokens
        if name in names:
            assert tokens == expected(number)[: len(tokens)]
        else:
            assert (crowd.heard[name].code, tokens) == ("", expected(number)), name


@pytest.mark.parametrize("place", PLACES)
def test_the_newest_waits_and_its_time_is_accounted_for(place: str) -> None:
    """r3 came last. What of its end-to-end time is in no phase is what messages took, as with r0,
    which nobody preempted.
    """

    async def nothing(crowd: Crowd) -> None:
        pass

    crowd = crowd_with(place, nothing)
    assert_exact_but(crowd)
    assert crowd.victim == "r3"
    times = [crowd.heard[name].last.times for name in NAMES]
    assert times[0].get("preempted", 0) == 0 < times[3]["preempted"]
    rest_ns = {
        crowd.heard[name].ended_ns - crowd.begun_ns[name] - sum(of_phase.values())
        for name, of_phase in zip(NAMES, times, strict=True)
    }
    assert len(rest_ns) == 1, rest_ns


@pytest.mark.parametrize("place", PLACES)
def test_a_preempted_request_that_is_cancelled_leaves_nothing(place: str) -> None:
    async def cancel(crowd: Crowd) -> None:
        crowd.tasks[crowd.victim].cancel()

    crowd = crowd_with(place, cancel)
    assert_exact_but(crowd, crowd.victim)


@pytest.mark.parametrize("place", PLACES)
def test_when_the_oldest_goes_away_the_preempted_one_takes_its_room(place: str) -> None:
    async def cancel(crowd: Crowd) -> None:
        crowd.tasks["r0"].cancel()

    assert_exact_but(crowd_with(place, cancel), "r0")


@pytest.mark.parametrize("place", PLACES)
def test_a_router_that_restarts_goes_on_with_preempted_streams(place: str) -> None:
    async def restart(crowd: Crowd) -> None:
        outage = await Outage.begin(crowd.world)
        await crowd.world.clock.wait_until(crowd.world.clock.now() + 50_000)
        await outage.over()

    assert_exact_but(crowd_with(place, restart))


@pytest.mark.parametrize("place", PLACES)
def test_a_chip_that_dies_takes_its_preempted_ones_with_it_and_serves_again(place: str) -> None:
    async def die(crowd: Crowd) -> None:
        await crowd.world.kill(f"{place}-0")
        for task in crowd.tasks.values():
            await task
        await crowd.world.revive(f"{place}-0")
        again = await ask(crowd.world, request("again", prompt_ids=prompt(0), max_tokens=50))
        assert again.tokens == expected(0)

    crowd = crowd_with(place, die)
    assert_exact_but(crowd, *NAMES)
    assert {heard.code for heard in crowd.heard.values()} == {"peer_dead"}


@pytest.mark.parametrize("place", PLACES)
def test_a_deadline_that_passes_while_it_waits_ends_a_preempted_request(place: str) -> None:
    """2 us after it lost its blocks: it cannot have been computed again by then."""

    async def nothing(crowd: Crowd) -> None:
        pass

    before = crowd_with(place, nothing)

    async def job(world: VirtualWorld) -> Crowd:
        crowd = Crowd(world)
        begun_ns = world.clock.now()
        await crowd.begin(**{before.victim: before.victim_ns + 2_000 - begun_ns})
        await crowd.end()
        return crowd

    crowd = run(blueprint({**FEW, **PLACES[place]}), job)
    assert crowd.victim == before.victim
    assert_exact_but(crowd, crowd.victim)
    assert crowd.heard[crowd.victim].code == "deadline_exceeded"


def test_what_fills_the_whole_memory_is_served_and_what_is_larger_is_refused() -> None:
    """14 blocks hold 224 tokens: 40 + 184 is served to its end beside others, 40 + 185 is not."""

    async def job(world: VirtualWorld) -> None:
        lengths = (50, 184, 50, 50)
        wanted = [
            request(f"r{i}", prompt_ids=prompt(i), max_tokens=length)
            for i, length in enumerate(lengths)
        ]
        heard = await ask_all(world, wanted)
        assert [one.code for one in heard] == [""] * 4
        assert heard[1].tokens == expected(1, 40, 184)
        assert preempted(world)
        too_long = await ask(world, request("x", prompt_ids=prompt(9), max_tokens=185))
        assert too_long.code == "context_length_exceeded" and too_long.error is not None
        assert "224" in too_long.error.message
        await settle(world)

    run(blueprint({**FEW, **PLACES["decode"]}), job)


def test_kv_that_comes_again_for_a_preempted_request_is_refused() -> None:
    """Its blocks are another's by now: whoever repeats a call late must not write there."""

    async def job(world: VirtualWorld) -> None:
        crowd = Crowd(world)
        await crowd.begin()
        chip = workers_of(world, Chip)["decode-0"]
        blocks = chip._model.read_blocks((0,))
        port = workers_of(world, Chip)["prefill-0"]._port
        seq = chip._jobs[crowd.victim].seq
        owner = Owner(crowd.victim, port.endpoint.epoch, tokens_number(seq.token_ids))
        again = sealed(KvBlocks(np.zeros(1, np.int64), NO_SUMS, blocks), owner)
        deadline_ns = world.clock.now() + 10**9
        with pytest.raises(InvalidRequest, match="r3 is preempted: no KV is awaited"):
            await port.call("decode-0", again, deadline_ns=deadline_ns, request_id=crowd.victim)
        await crowd.end()
        assert_exact_but(crowd)

    run(blueprint({**FEW, **PLACES["decode"]}), job)
