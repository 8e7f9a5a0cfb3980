"""Reads and writes over links with a curve, reckoned by hand, in virtual time and on the wall.

1 byte a ns and 1 us on the way; each segment of 1 KiB takes the link 100 ns.
"""

import asyncio
import time

from configs.schema.link import LinkSpec
from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.curved import SEGMENTS, curved
from tests.workers.wire.parcel import Parcel
from workers.host.clock.live import LiveClock


def read_and_write_ns(link: LinkSpec, num_bytes: int) -> tuple[int, int]:
    """How long a call that is answered with so many bytes takes, and one that carries them."""

    async def job(bench: Bench) -> tuple[int, int]:
        bench.port("b").on(Parcel, lambda m: Parcel(charged=m.content.body["answer"]))
        took: list[int] = []
        for asked, answered in ((64, num_bytes), (num_bytes, 64)):
            began_ns = bench.clock.now()
            parcel = Parcel({"answer": answered}, charged=asked)
            await bench.port("a").call("b", parcel, deadline_ns=began_ns + SECOND_NS)
            took.append(bench.clock.now() - began_ns)
        return took[0], took[1]

    return Bench("a", "b", links={"a": link, "b": link}).run(job)


def test_a_read_and_a_write_go_there_and_back() -> None:
    """Two latencies and two start-ups; an overhead of 100 for 64 bytes one way, of 200 for 2,048
    the other.
    """
    link = curved(**SEGMENTS, startup_ns=30)
    expected = 2 * (30 + 1_000) + (100 + 64) + (200 + 2_048)
    assert read_and_write_ns(link, 2_048) == (expected, expected)


def test_a_path_holds_what_starts_up_as_well() -> None:
    """30 ns and 1 us each way at a byte a ns."""

    async def job(bench: Bench) -> int:
        return bench.port("a").path_bytes("b")

    link = curved(startup_ns=30)
    assert Bench("a", "b", links={"a": link, "b": link}).run(job) == 2_060


def test_on_the_wall_it_is_the_same() -> None:
    """An emulated microsecond takes a millisecond; a call there and back, then five in order.
    Times are those to which the wall is held, which follow from each other however late it is.
    """

    async def job(bench: Bench) -> tuple[int, list[int]]:
        there: list[int] = []
        bench.port("b").on(Parcel, lambda m: there.append(bench.clock.now()))
        began_ns = bench.clock.now()
        deadline_ns = began_ns + 10 * SECOND_NS
        await bench.port("a").call("b", Parcel(charged=2_048), deadline_ns=deadline_ns)
        back_ns = bench.clock.now()
        for _ in range(5):
            await bench.port("a").send("b", Parcel(charged=60))
        while len(there) < 6:
            await bench.clock.wait_until(bench.clock.now() + 1_000)
        return back_ns - began_ns, [at_ns - back_ns for at_ns in there[1:]]

    async def main() -> tuple[int, list[int]]:
        clock = LiveClock(time.monotonic_ns(), 1_000.0)
        link = curved("fifo", **SEGMENTS, startup_ns=30)
        try:
            bench = Bench("a", "b", links={"a": link, "b": link}, clock=clock)
            return await bench.stand(job)
        finally:
            clock.close()

    took_ns, stream = asyncio.run(main())
    assert took_ns == (30 + 1_000 + 200 + 2_048) + (30 + 1_000 + 100 + 64)
    assert stream == [30 + 1_000 + 160 * n for n in range(1, 6)]
