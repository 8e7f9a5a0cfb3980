"""A deadline counts from the arrival, as latency does, whatever holds the request back."""

from collections.abc import Mapping

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.cluster import ask, blueprint, request, run

MS = 1_000_000
SLOW_GATEWAY = {"cluster.nodes.gateway.link.latency": "1 ms"}


def deadlines(
    changes: Mapping[str, object], count: int, look_after_ns: int, held_ns: int = 0
) -> list[int]:
    """Of all that are inside, from when they were asked for, each with a deadline of 50 ms."""

    async def job(world: VirtualWorld) -> list[int]:
        begun_ns = world.clock.now()
        arrived_ns = begun_ns - held_ns if held_ns else None
        for i in range(count):
            one = request(f"r{i}", max_tokens=200, deadline_ns=50 * MS, arrived_ns=arrived_ns)
            world.gateway.spawn(ask(world, one), f"ask {i}")
        await world.clock.wait_until(begun_ns + look_after_ns)
        inside = router_of(world).state.requests.values()
        return [one.deadline_ns - begun_ns for one in inside]

    return run(blueprint(changes), job)


@pytest.mark.parametrize("held_ns", [0, 20 * MS])
def test_the_way_to_the_router_and_what_was_before_count(held_ns: int) -> None:
    """50 ms after the arrival; was 51: after the router had heard, 1 ms later."""
    assert deadlines(SLOW_GATEWAY, 1, 2 * MS, held_ns) == [50 * MS - held_ns]


def test_waiting_for_a_credit_at_the_gateway_counts() -> None:
    """256 submissions go at once, the others when those are answered, 2 ms later."""
    found = deadlines(SLOW_GATEWAY, 300, 4 * MS)
    assert len(found) > 256
    assert set(found) == {50 * MS}


def test_who_arrived_too_long_ago_is_told_so_at_once() -> None:
    """Held for 60 ms of its 50: the reader keeps the deadline too, and does not wait."""

    async def job(world: VirtualWorld) -> tuple[str, int]:
        begun_ns = world.clock.now()
        late = request("late", max_tokens=64, deadline_ns=50 * MS, arrived_ns=begun_ns - 60 * MS)
        heard = await ask(world, late)
        return heard.code, heard.ended_ns - begun_ns

    code, after_ns = run(blueprint(SLOW_GATEWAY), job)
    assert code == "deadline_exceeded"
    assert after_ns == 0
