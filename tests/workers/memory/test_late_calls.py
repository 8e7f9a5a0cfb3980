"""Calls about a store that come after it was deleted: nothing brings it back."""

from typing import Any

import numpy as np
import pytest

from tests.workers.bench import Bench
from tests.workers.memory.test_memory_server import DIM, stand
from tests.workers.wire.calls import Each
from workers.errors import DeadlineExceeded
from workers.wire.kind import Kind
from workers.wire.kinds.memory import (
    MemoryState,
    ShardAdd,
    ShardCreate,
    ShardDelete,
    ShardDeleted,
    ShardTakeBack,
)
from workers.wire.message import Message
from workers.wire.rules import Delay, Drop, Pass, Verdict

LATE_NS = 10_000_000
IDS = np.arange(3)
WANTED: dict[str, Kind[Any]] = {
    "shard_create": ShardCreate("s", DIM),
    "shard_add": ShardAdd("s", IDS, ("a",) * 3, ("f",) * 3, np.ones((3, DIM), np.float32), False),
    "shard_take_back": ShardTakeBack("s", 0, 3),
}


@pytest.mark.parametrize("kind", list(WANTED))
def test_a_call_from_before_the_end_of_its_store_changes_nothing(kind: str) -> None:
    """An older call is open all the time, so that the wire alone cannot know that it is late. The
    store is deleted, and another made under its name: 0 passages before, and none taken back.
    """
    bench, server = stand()

    async def job(bench: Bench) -> None:
        async def say(content: Kind[Any], within_ns: int = 10**9) -> Any:
            deadline_ns = bench.clock.now() + within_ns
            return await bench.port("chip").call(
                "memory", content, deadline_ns=deadline_ns, request_id="s"
            )

        late: list[int] = []

        def verdict(_: int, message: Message[Any]) -> Verdict:
            if isinstance(message.content, MemoryState):
                return Drop()
            if message.content is WANTED[kind] and not late:
                late.append(message.message_id)  # with its repetitions
            return Delay(LATE_NS) if message.message_id in late else Pass()

        deadline_ns = bench.clock.now() + 10**12
        older = await bench.port("chip").post("memory", MemoryState(), deadline_ns=deadline_ns)
        bench.node("chip").endpoint.rules["late"] = Each(verdict)
        with pytest.raises(DeadlineExceeded):
            await say(WANTED[kind], 100_000)
        assert await say(ShardDelete("s")) == ShardDeleted(False)
        await say(ShardCreate("s", DIM))
        await say(WANTED["shard_add"])
        assert server._shards["s"].num_passages == 3
        await bench.clock.wait_until(bench.clock.now() + 2 * LATE_NS)
        assert server._shards["s"].num_passages == 3
        assert not server._shards["s"].taken_back
        older.abandon()

    bench.run(job)
