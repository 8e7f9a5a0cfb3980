"""A gateway dies in the middle of streams: their readers send the same again to the next one, and
receive the rest of the same answers.
"""

from typing import Any

import pytest

from cluster.api.request import Request
from cluster.gateway.resume import CannotResume, Place, fingerprint, taken_up
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run, settle
from workers.errors import PeerDead

OF = fingerprint("/v1/completions", b"{}")
# Sampled: what is told does not follow from the prompt alone.
SAMPLED = {"temperature": 1.0, "max_tokens": 24}


class Reader:
    """What a client has, over the connections that it lost."""

    def __init__(self, number: int) -> None:
        self._number, self._num_sent = number, 0
        self.place: Place | None = None
        self.tokens: list[int] = []
        self.text, self.reason = "", ""

    def request(self) -> Request:
        self._num_sent += 1
        name, seed = f"r{self._number}~{self._num_sent}", 1000 + self._number
        return request(name, prompt_ids=prompt(self._number), seed=seed, **SAMPLED)

    async def read(self, world: VirtualWorld) -> None:
        async for output, place in taken_up(world.client, self.request(), OF, self.place):
            assert output.position == len(self.tokens) and not self.reason, "law 2"
            self.tokens += output.token_ids
            self.text += output.text
            self.reason, self.place = output.finish_reason, place


def calm(changes: dict[str, Any]) -> list[tuple[list[int], str]]:
    async def job(world: VirtualWorld) -> list[tuple[list[int], str]]:
        heard = [await ask(world, Reader(number).request()) for number in range(4)]
        return [(one.tokens, one.text) for one in heard]

    return run(blueprint(changes), job)


@pytest.mark.parametrize("changes", [{}, {"model.numerics": "digest"}], ids=["real", "digest"])
def test_streams_go_on_over_the_gateways_death_and_repeat_nothing(changes: dict[str, Any]) -> None:
    right = calm(changes)

    async def job(world: VirtualWorld) -> list[Reader]:
        readers = [Reader(number) for number in range(4)]
        had = []
        for after_ns in (60_000, 150_000, 250_000):
            for reader in readers:
                if not reader.reason:
                    world.gateway.spawn(reader.read(world), "read")
            await world.clock.wait_until(world.clock.now() + after_ns)
            had.append([len(reader.tokens) for reader in readers])
            await world.kill("gateway")
            await world.clock.wait_until(world.clock.now() + 20_000)
            await world.revive("gateway")
            await settle(world)
        for reader in readers:
            if not reader.reason:
                await reader.read(world)
        assert any(0 < count < 24 for counts in had for count in counts), "killed in the middle"
        await settle(world)
        return readers

    readers = run(blueprint(changes), job)
    assert [(reader.tokens, reader.text) for reader in readers] == right
    assert len({tuple(reader.tokens) for reader in readers}) == 4


def test_a_stream_of_another_seed_is_no_continuation() -> None:
    async def job(world: VirtualWorld) -> None:
        reader = Reader(1)
        async for _, place in taken_up(world.client, reader.request(), OF, None):
            reader.place = place
            if place.choices[0][0] == 5:
                break
        other = request("other", prompt_ids=prompt(1), seed=7, **SAMPLED)
        with pytest.raises(CannotResume):
            await _nothing(world, other, reader.place)
        await settle(world)

    run(blueprint(), job)


def test_an_answer_that_fails_is_told_as_it_is() -> None:
    async def job(world: VirtualWorld) -> None:
        place = Place(OF, ((20, 0),))
        world.clock.call_at(world.clock.now() + 90_000, world.host.network.kill, "router")
        with pytest.raises(PeerDead):
            await _nothing(world, Reader(2).request(), place)
        await world.kill("router")

    run(blueprint({"cluster.router_journal": False}), job)


async def _nothing(world: VirtualWorld, wanted: Request, place: Place | None) -> None:
    """No output is told, whatever is raised."""
    async for _ in taken_up(world.client, wanted, OF, place):
        raise AssertionError("it is not known to be the same answer, or the reader has it")
