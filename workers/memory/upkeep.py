"""What a memory server does for its shards between requests: it merges the segments of their logs,
and trains their indexes again as they grow.

    addition ─▶ answered ─▶ is anything due? ─▶ merge, or train ─▶ emulated time ─▶ in use

What was there before the cluster started costs no time. Numbers and files are dealt with where all
changes of shards are, one after the other; so an addition that comes meanwhile waits for them.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from workers.errors import PerfuseError
from workers.hardware.work import Work
from workers.memory.index.quantizer import Quantizer
from workers.memory.shard import RetrievalShard
from workers.memory.shard_log import ShardLog
from workers.node import Node


class Beside(Protocol):
    """Do a change of shards where all of them are done. Raises PerfuseError where a disk fails."""

    def __call__(self, change: Callable[[], object], /) -> Awaitable[object]: ...


class Upkeep:
    """Of all shards of one server, which live in `tier`."""

    def __init__(
        self,
        node: Node,
        tier: str,
        shards: Mapping[str, RetrievalShard],
        logs: Mapping[str, ShardLog],
        beside: Beside,
    ) -> None:
        self._node, self._tier, self._beside = node, tier, beside
        self._shards, self._logs = shards, logs
        self._under_way: set[str] = set()  # stores

    def soon(self, store: str) -> None:
        """In a task of its own, if anything is due."""
        if store not in self._under_way and self._is_due(store):
            self._under_way.add(store)
            self._node.spawn(self._keep(store), f"upkeep of {store}")

    async def now(self, store: str) -> None:
        """What was there before the cluster started."""
        if store not in self._under_way and self._is_due(store):
            self._under_way.add(store)
            await self._keep(store, preloaded=True)

    def _is_due(self, store: str) -> bool:
        shard, log = self._shards.get(store), self._logs.get(store)
        return bool(shard and log and (shard.is_index_due or log.bytes_to_merge))

    async def _keep(self, store: str, *, preloaded: bool = False) -> None:
        try:
            while self._is_due(store):
                log = self._logs[store]
                await (self._merge if log.bytes_to_merge else self._train)(store, preloaded)
        except PerfuseError:
            return  # a disk that fails: what there is stays in use, and the next addition tries
        finally:
            self._under_way.discard(store)

    async def _merge(self, store: str, preloaded: bool) -> None:
        shard, log = self._shards[store], self._logs[store]
        read, wrote = log.bytes_to_merge, list[int]()

        def merge() -> None:
            if self._logs.get(store) is log:
                wrote.append(log.compact(shard.dim))

        await self._beside(merge)
        if wrote and not preloaded:
            moved = {self._tier: read}, {self._tier: wrote[0]}
            work = Work.of("store_merge", reads=moved[0], writes=moved[1])
            await self._node.hardware.run(work, list)

    async def _train(self, store: str, preloaded: bool) -> None:
        """Until it is trained, and until that takes no more emulated time, the old one is used."""
        shard, learned = self._shards[store], list[Quantizer]()
        work = shard.train_work(self._tier)
        await self._beside(lambda: learned.append(shard.train()))
        if not preloaded:
            await self._node.hardware.run(work, list)

        def use() -> None:
            if self._shards.get(store) is shard and store in self._logs:
                with suppress(OSError):  # then it is trained again after a restart
                    self._logs[store].trained(learned[0])
                shard.use(learned[0])

        await self._beside(use)
