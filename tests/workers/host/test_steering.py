"""The clock of a node on a machine whose own is seconds off, and drifts."""

import asyncio
import time

import pytest

from workers.host.clock import asking, steering
from workers.host.clock.asking import Asker, TimeServer
from workers.host.clock.live import LiveClock
from workers.host.clock.origin import Origin
from workers.host.clock.source import SKEW, ClockSource
from workers.host.clock.steering import Reference, Steering

KEY = b"of this test"
DILATION = 1_000.0


def reference(server: TimeServer) -> Reference:
    return Reference(Origin.now(), Asker("127.0.0.1", server.port, KEY))


@pytest.mark.parametrize("skew", ["3 s, 200 ppm", "-3 s, -200 ppm", "1 h"])
def test_the_wall_is_the_reference_s(skew: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's own clock says: the error is within what was measured, and a timer
    fires when it is due by the reference.
    """
    server = TimeServer("127.0.0.1", KEY, ClockSource().read)
    told = reference(server)  # by the system's clock, and from here on this machine's is another
    monkeypatch.setenv(SKEW, skew)

    async def job() -> None:
        clock = LiveClock(told.origin.monotonic_ns, DILATION)
        steered = Steering(clock, told)
        try:
            for _ in range(5):
                before_ns, shown, after_ns = time.monotonic_ns(), clock.wall_now(), None
                after_ns = time.monotonic_ns()
                at_ns = told.origin.monotonic_ns + shown * DILATION
                slack_ns = steered.correction().error_ns + DILATION + 100_000
                assert before_ns - slack_ns <= at_ns <= after_ns + slack_ns
                due = clock.wall_now() + 20_000
                await clock.wait_until(due)
                late_ns = time.monotonic_ns() - (told.origin.monotonic_ns + due * DILATION)
                assert late_ns >= -slack_ns, "never early"
        finally:
            steered.close()
            clock.close()

    asyncio.run(job())
    server.close()


def test_nobody_who_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_S", 0.01)
    monkeypatch.setattr(steering, "FIRST_TRIES", 2)
    monkeypatch.setattr(steering, "FIRST_QUESTIONS", 2)
    server = TimeServer("127.0.0.1", b"another cluster's", ClockSource().read)

    async def job() -> None:
        clock = LiveClock(0)
        with pytest.raises(TimeoutError, match=rf"nobody answers at 127.0.0.1:{server.port}"):
            Steering(clock, reference(server))
        clock.close()

    asyncio.run(job())
    server.close()
