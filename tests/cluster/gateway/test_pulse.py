"""A health check is answered soon: by the router, or by what it said a moment ago."""

import asyncio

import pytest

from cluster.gateway.client import ClusterState
from cluster.gateway.pulse import Pulse


class Router:
    """Answers at once, unless it is `held`: then when it is let go."""

    def __init__(self) -> None:
        self.num_asked, self.lack, self.answers = 0, "", asyncio.Event()
        self.answers.set()

    async def ask(self) -> ClusterState:
        self.num_asked += 1
        lack = self.lack
        await self.answers.wait()
        return ClusterState(ready=True, lack=lack)


def test_a_slow_router_is_asked_once_and_what_it_said_will_do() -> None:
    """It is held until all who asked have been answered with what it said last."""

    async def test() -> None:
        router, now_ns = Router(), [0]
        pulse = Pulse(router.ask, 60.0, lambda: now_ns[0])
        assert (await pulse.state()).lack == ""
        router.answers.clear()
        router.lack = "no prefill chip lives"
        states = await asyncio.gather(*(pulse.state() for _ in range(9)))
        assert {state.lack for state in states} == {""}
        assert router.num_asked == 2
        now_ns[0] = 60_000_000_000  # what it said is old: its answer is waited for
        late = asyncio.create_task(pulse.state())
        await asyncio.sleep(0)
        router.answers.set()
        assert (await late).lack == "no prefill chip lives"
        router.lack = ""
        assert (await pulse.state()).lack == "", "an answer that comes at once is the newest"
        await pulse.close()

    asyncio.run(test())


def test_a_silent_router_is_no_news_for_as_long_as_an_answer_is_believed() -> None:
    async def test() -> None:
        router, now_ns = Router(), [0]
        pulse = Pulse(router.ask, 0.2, lambda: now_ns[0])
        await pulse.state()
        router.answers.clear()
        assert (await pulse.state()).ready
        now_ns[0] = 200_000_000
        with pytest.raises(TimeoutError):
            await pulse.state()
        with pytest.raises(TimeoutError):  # and is not believed again
            await pulse.state()
        await pulse.close()

    asyncio.run(test())
