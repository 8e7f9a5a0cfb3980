"""What a rank of a node makes of a process that has no file descriptor left."""

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kernels.all_to_all import Geometry
from tests.workers.wire.transport.wires import NEEDS_SHM
from workers.experts.ranks import RankedNodes, Ranks
from workers.host.clock.live import LiveClock

pytestmark = NEEDS_SHM
RANKED = RankedNodes(("chip", "shard"), Geometry(2, 16, 6, 8, 2), b"of these tests alone")


@contextmanager
def room_for(descriptors: int) -> Iterator[None]:
    """This process may open no more than so many until then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(number) for number in os.listdir("/proc/self/fd")}
    free = (number for number in range(soft) if number not in taken)
    limit = next(number for index, number in enumerate(free) if index == descriptors)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_there_is_no_rank_and_no_error_and_none_is_lost() -> None:
    """A pipe's two, its arena's, and copies of the pipe for the native code: at each of these."""

    async def job() -> list[bool]:
        clock = LiveClock(time.monotonic_ns(), emulated=False)
        before, stand = len(os.listdir("/proc/self/fd")), []
        for descriptors in range(8):
            with room_for(descriptors):
                ranks = Ranks.made(RANKED, "chip", 1, clock, lambda *_: None)
            stand.append(ranks is not None)
            if ranks is not None:
                ranks.close()
            del ranks
            assert len(os.listdir("/proc/self/fd")) == before
        clock.close()
        return stand

    found = asyncio.run(job())
    assert found == sorted(found)
    assert not found[0]
    assert found[-1]
