"""What is taken back is gone from the disk as well, in one append a call."""

import numpy as np

from tests.workers.bench import Bench
from tests.workers.memory.test_memory_server import DIM, add, call, stand
from workers.host.disk import MemoryDisk
from workers.wire.kinds.memory import MemoryState, ShardCreate, ShardTakeBack


class Counting(MemoryDisk):
    def __init__(self) -> None:
        super().__init__()
        self.num_writes = 0

    def append(self, name: str, data: bytes) -> None:
        self.num_writes += 1
        super().append(name, data)


def test_what_was_taken_back_does_not_come_back_with_the_next_incarnation() -> None:
    """3 of 5 passages; a second time none of them is there, and the count stays."""
    disk = Counting()

    async def before(bench: Bench) -> None:
        await call(bench, ShardCreate("s", DIM))
        await add(bench, np.ones((5, DIM), np.float32))
        num_writes = disk.num_writes
        for num_calls in (1, 2):
            size = await call(bench, ShardTakeBack("s", 1, 3))
            assert size.num_passages == 2
            assert disk.num_writes == num_writes + num_calls

    async def after(bench: Bench) -> None:
        assert (await call(bench, MemoryState())).stores == {"s": 2}

    stand(disk=disk)[0].run(before)
    stand(disk=disk)[0].run(after)
