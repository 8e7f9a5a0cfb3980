"""From when a request's clock runs: from its arrival in the workload, whatever holds it back."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.api.output import Output
from cluster.api.request import Request
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer, Driver
from tests.workers.bench import Bench
from workers.host.clock.live import LiveClock
from workers.model.sampling_params import SamplingParams

MS = 1_000_000


def workload(times_ns: list[int], concurrency: int | None = None) -> Workload:
    sampling = SamplingParams(max_tokens=1)
    return Workload(
        tuple(
            TimedRequest(at_ns, Request(f"r{i}", "m", sampling, prompt_ids=(1,)))
            for i, at_ns in enumerate(times_ns)
        ),
        concurrency,
    )


def last(request: Request) -> Output:
    return Output(request.request_id, 0, (1,), finish_reason="length", num_output_tokens=1)


class OneServer:
    """A cluster that serves one request after the other, a millisecond each."""

    def __init__(self, clock: Any) -> None:
        self._clock, self._free_ns = clock, 0
        self.arrived: list[int | None] = []

    async def submit(self, request: Request) -> AsyncGenerator[Output, None]:
        self.arrived.append(request.arrived_ns)
        self._free_ns = max(self._free_ns, self._clock.now()) + MS
        await self._clock.wait_until(self._free_ns)
        yield last(request)


def driven(work: Workload, make: Callable[[Any], Any] = OneServer) -> tuple[list[Answer], Any]:
    async def job(bench: Bench) -> tuple[list[Answer], Any]:
        node = bench.nodes["gateway"]
        client = make(node.clock)
        return await Driver(node, client).run(work), client

    return Bench("gateway").run(job)


@pytest.mark.parametrize("gap_ns", [0, 100], ids=["at once", "a burst"])
def test_nobody_s_clock_starts_late_however_many_are_inside(gap_ns: int) -> None:
    """6,000 arrivals within 0.6 ms, 1 ms of service each: the k-th waits k ms less its own lateness
    (p99: 5.94 s). With 4,096 inside at once, the last 1,904 counted 4.1 s, each.
    """
    answers, client = driven(workload([gap_ns * i for i in range(6_000)]))
    assert [a.ttft_ns for a in answers] == [MS * (i + 1) - gap_ns * i for i in range(6_000)]
    assert [a.submitted_ns for a in answers] == [gap_ns * i for i in range(6_000)]
    assert client.arrived == [gap_ns * i for i in range(6_000)]


def test_a_user_of_a_closed_loop_asks_when_the_last_answer_was_read() -> None:
    """Two users, one server of 1 ms: answers at 1, 2, 3 and 4 ms, each asked as the same user's
    last one was read.
    """
    answers, client = driven(workload([0] * 4, concurrency=2))
    assert [a.submitted_ns for a in answers] == [0, 0, MS, 2 * MS]
    assert [a.e2e_ns for a in answers] == [MS, 2 * MS, 2 * MS, 2 * MS]
    assert client.arrived == [0, 0, MS, 2 * MS]


class BusyHost:
    """The first request takes the host's only loop for 100 ms; the second one is answered at
    once.
    """

    async def submit(self, request: Request) -> AsyncGenerator[Output, None]:
        if request.request_id == "r0":
            time.sleep(0.1)  # noqa: ASYNC251 - the loop is to be held
        yield last(request)


def test_a_host_that_is_late_does_not_hide_it() -> None:
    """On the wall: the second arrival is at 10 ms, and the host looks at it after 100: it has
    waited 90 ms (was counted from when the host came to it: about 0).
    """

    async def main() -> list[Answer]:
        clock = LiveClock(time.monotonic_ns())
        node: Any = SimpleNamespace(clock=clock, spawn=clock.start)
        client: Any = BusyHost()
        try:
            return await Driver(node, client).run(workload([0, 10 * MS]))
        finally:
            clock.close()

    first, second = asyncio.run(main())
    assert second.submitted_ns - first.submitted_ns == 10 * MS
    assert second.e2e_ns >= 85 * MS
