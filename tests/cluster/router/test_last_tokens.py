"""Streams that go on elsewhere with their last tokens to come."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.router.test_lost_chips import TWO_EACH, begun_anew, later
from tests.cluster.worlds.cluster import Heard, ask, blueprint, request, run, settle


@pytest.mark.parametrize("known", [1, 6, 7])
def test_a_stream_with_a_token_or_two_to_come_ends_where_it_should(known: int) -> None:
    """Of eight tokens the router knows so many. With seven the last one is its prefill chip's."""

    async def job(world: VirtualWorld) -> None:
        heard, state = Heard(), router_of(world).state
        asked = world.gateway.spawn(ask(world, request("r", max_tokens=8), heard), "ask")
        while "r" not in state.requests or len(state.requests["r"].stream.tokens) < known:
            await later(world, 200)
        await world.kill("decode-0")
        begun_ns = world.clock.now()
        await asked
        assert heard.tokens == right and heard.last.finish_reason == "length"
        assert world.clock.now() - begun_ns < 1_000_000, "nobody waits for a deadline of 60 s"
        assert begun_anew(world) == 1
        await settle(world, dead=("decode-0",))

    async def undisturbed(world: VirtualWorld) -> list[int]:
        return (await ask(world, request("r", max_tokens=8))).tokens

    right = run(blueprint(TWO_EACH), undisturbed)
    run(blueprint(TWO_EACH), job)
