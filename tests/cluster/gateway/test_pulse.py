"""A health check is answered soon: by the router, or by what it said a moment ago."""

import asyncio
import time

import pytest

from cluster.gateway.client import ClusterState
from cluster.gateway.pulse import PATIENCE_S, Pulse


class Router:
    """Answers after `delay_s`."""

    def __init__(self) -> None:
        self.delay_s, self.num_asked, self.lack = 0.0, 0, ""

    async def ask(self) -> ClusterState:
        self.num_asked += 1
        lack = self.lack
        await asyncio.sleep(self.delay_s)
        return ClusterState(ready=True, lack=lack)


def test_a_slow_router_is_asked_once_and_what_it_said_will_do() -> None:
    """It takes 0.5 s: who asks meanwhile has the last answer after 0.05 s each."""

    async def test() -> None:
        router, now_ns = Router(), [0]
        pulse = Pulse(router.ask, 2.0, lambda: now_ns[0])
        assert (await pulse.state()).lack == ""
        router.delay_s, router.lack = 0.5, "no prefill chip lives"
        begun_s = time.perf_counter()
        states = await asyncio.gather(*(pulse.state() for _ in range(9)))
        assert {state.lack for state in states} == {""}
        assert PATIENCE_S <= time.perf_counter() - begun_s < 0.4
        assert router.num_asked == 2
        now_ns[0] = 2_000_000_000  # what it said is old: its answer is waited for
        assert (await pulse.state()).lack == "no prefill chip lives"
        router.delay_s, router.lack = 0.0, ""
        assert (await pulse.state()).lack == "", "an answer that comes at once is the newest"
        await pulse.close()

    asyncio.run(test())


def test_a_silent_router_is_no_news_for_as_long_as_an_answer_is_believed() -> None:
    async def test() -> None:
        router = Router()
        pulse = Pulse(router.ask, 0.2, time.perf_counter_ns)
        await pulse.state()
        router.delay_s = 60.0
        assert (await pulse.state()).ready
        await asyncio.sleep(0.25)
        with pytest.raises(TimeoutError):
            await pulse.state()
        with pytest.raises(TimeoutError):  # and is not believed again
            await pulse.state()
        await pulse.close()

    asyncio.run(test())
