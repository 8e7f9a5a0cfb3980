"""What was deleted is not on the disk: the next incarnation does not find it again."""

import numpy as np

from tests.workers.bench import Bench
from tests.workers.memory.test_memory_server import DIM, add, call, stand
from workers.host.disk import MemoryDisk
from workers.wire.kinds.memory import MemoryState, ShardCreate, ShardDelete


def test_a_deleted_store_does_not_come_back_with_the_next_incarnation() -> None:
    disk = MemoryDisk()

    async def before(bench: Bench) -> None:
        for name in ("s", "other"):
            await call(bench, ShardCreate(name, DIM))
        await add(bench, np.ones((3, DIM), np.float32))
        await call(bench, ShardDelete("s"))

    async def after(bench: Bench) -> None:
        assert (await call(bench, MemoryState())).stores == {"other": 0}

    stand(disk=disk)[0].run(before)
    stand(disk=disk)[0].run(after)
