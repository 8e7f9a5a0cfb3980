"""Memory servers and routers that live and say nothing: nobody waits for them longer than it takes
to find out, and whoever is heard again is one of the cluster.
"""

import asyncio

import pytest

from cluster.gateway.errors import reply
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.test_lost_chips import TWO_EACH
from tests.cluster.router.test_silent_chips import cut_off, heal
from tests.cluster.worlds.cluster import Heard, ask, blueprint, prompt, request, run, settle
from workers.errors import PeerDead
from workers.host.trace import Delivered, Noted

SILENCE_NS = 400_000
WATCHED = {"cluster.silence": f"{SILENCE_NS} ns"}
SERVERS = ("hbf-0", "pnm-0")


async def timed(world: VirtualWorld, name: str, number: int) -> int:
    """Nobody has asked for this prompt before: its server is asked, and has nothing."""
    begun_ns = world.clock.now()
    heard = await ask(world, request(name, prompt_ids=prompt(number)))
    assert not heard.code and len(heard.tokens) == 8
    return world.clock.now() - begun_ns


def test_a_silent_pool_is_waited_for_once_and_what_it_had_is_computed_again() -> None:
    """Two servers, each found out once in 400 us; then a prompt takes what it takes alone, where a
    fetch alone would have waited for its deadline, which is a sixteenth of the request's. What is
    finished meanwhile is not offered to them. Heard again, they are asked again.
    """

    async def job(world: VirtualWorld) -> None:
        usual_ns = await timed(world, "first", 0)
        await settle(world)
        for server in SERVERS:
            cut_off(world, server)
            for node in world.nodes.values():
                node.endpoint.rules[server] = node.endpoint.rules.pop("cut")
        took_ns = [await timed(world, f"r{i}", 1 + i) for i in range(8)]
        waited = [one for one in took_ns if one > 2 * usual_ns]
        assert 1 <= len(waited) <= len(SERVERS)
        assert max(took_ns) <= SILENCE_NS + 2 * usual_ns
        heal(world)
        await timed(world, "asks whether they are back", 20)
        await timed(world, "and the other", 21)
        await world.clock.wait_until(world.clock.now() + 2 * SILENCE_NS)
        since_ns = world.clock.now()
        for number in range(22, 26):
            assert await timed(world, f"again{number}", number) <= 2 * usual_ns
        records = [r for r in world.trace.records if isinstance(r, Delivered)]
        assert any(r.kind == "pool_blocks" and r.at_ns > since_ns for r in records)
        await settle(world)

    run(blueprint(WATCHED), job)


async def reading_on(world: VirtualWorld) -> tuple[list[int], Heard, "asyncio.Task[Heard]"]:
    """A whole answer; and the same asked for again, of which something has come."""
    whole = (await ask(world, request("calm", max_tokens=64))).tokens
    kept = Heard()
    reading = world.gateway.spawn(ask(world, request("kept", max_tokens=64), kept), "kept")
    while not kept.outputs:
        await world.clock.wait_until(world.clock.now() + 10_000)
    return whole, kept, reading


@pytest.mark.parametrize("many", [1, 50])
def test_a_silent_router_is_told_with_a_time_to_come_back_and_keeps_what_it_has(many: int) -> None:
    """What is asked for while it is silent ends after 400 us with 503 and Retry-After; once it is
    known, at once. A stream that it had taken waits, and is whole.
    """

    async def job(world: VirtualWorld) -> None:
        whole, kept, reading = await reading_on(world)
        cut_off(world, "router")
        begun_ns = world.clock.now()
        asked = [world.gateway.spawn(ask(world, request(f"r{i}")), f"r{i}") for i in range(many)]
        for one in asked:
            heard = await one
            assert isinstance(heard.error, PeerDead) and "is silent" in heard.error.message
            assert heard.ended_ns - begun_ns <= SILENCE_NS + 1
            told = reply(heard.error, "r")
            assert told.status == 503 and dict(told.headers)["retry-after"] == "1"
        begun_ns = world.clock.now()
        assert (await ask(world, request("at once"))).code == "peer_dead"
        assert world.clock.now() == begun_ns
        heal(world)
        assert (await ask(world, request("is it back"))).code == "peer_dead"
        await world.clock.wait_until(world.clock.now() + SILENCE_NS)
        again = await ask(world, request("again", max_tokens=64))
        assert again.tokens == whole
        await reading
        assert kept.tokens == whole and not kept.code
        await settle(world)

    run(blueprint(WATCHED), job)


def test_a_router_that_is_busy_for_long_is_no_silent_one() -> None:
    """A request that waits for passages of a silent server waits for them: its router is there."""

    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        for server in SERVERS:
            cut_off(world, server)
            for node in world.nodes.values():
                node.endpoint.rules[server] = node.endpoint.rules.pop("cut")
        begun_ns = world.clock.now()
        heard = await ask(world, request("r", prompt="card?", retrieval=store.store_id))
        assert heard.code == "deadline_exceeded"
        assert world.clock.now() - begun_ns > 5 * SILENCE_NS
        heal(world)
        await world.clock.wait_until(world.clock.now() + 10_000_000)
        await settle(world)

    run(blueprint({**WATCHED, "slo.deadline": "10 ms"}), job)


def test_a_decode_chip_is_found_silent_in_two_seconds_and_its_stream_resumes_in_three() -> None:
    """With what is set where a scenario says nothing: 1.5 s, and a prefill of what is known."""

    async def job(world: VirtualWorld) -> None:
        whole, kept, reading = await reading_on(world)
        (victim,) = [
            name
            for name in ("decode-0", "decode-1")
            if any(
                isinstance(r, Delivered) and r.kind == "tokens" and r.source == name
                and r.at_ns > world.clock.now() - 100_000
                for r in world.trace.records
            )
        ]  # fmt: skip
        cut_off(world, victim)
        cut_ns, num_told = world.clock.now(), len(kept.tokens)
        while len(kept.tokens) <= num_told + 1:  # one may have been on its way
            assert not reading.done(), kept.code
            await world.clock.wait_until(world.clock.now() + 1_000_000)
        resumed_ns = world.clock.now()
        (found,) = [
            r for r in world.trace.records if isinstance(r, Noted) and r.what == "begun anew"
        ]
        assert found.at_ns - cut_ns <= 2_000_000_000
        assert resumed_ns - found.at_ns <= 3_000_000_000
        await reading
        assert kept.tokens == whole and not kept.code
        heal(world)
        await settle(world)

    run(blueprint({**TWO_EACH, "slo.deadline": "30 s"}), job)
