"""A memory server: retrieval shards that it scans beside their memory, and a pool of KV blocks that
all chips share.

What it is told:

    router ── shard_create, shard_add, shard_delete ──▶ passages of a collection, with their vectors
    router ── shard_take_back ─▶ forget a file, or an addition that failed elsewhere
    router ── search ─▶ the best passages of this server's part
    router ── shard_read ─▶ the passages of a file, as they are
    chip   ── vectors_read, passages_read ─▶ the same, to search it there
    chip   ── pool_put, pool_get, pool_drop ─▶ KV blocks by content hash
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from configs.schema.device import MAIN_ENGINE
from workers.errors import InvalidRequest, NotFound, PerfuseError
from workers.hardware.work import Work
from workers.host.aside import SMALL_MAX
from workers.memory.id_ranges import IdRanges
from workers.memory.index.choice import IndexChoice
from workers.memory.loading import load_logs
from workers.memory.pools import open_pool, wear_teller
from workers.memory.shard import RetrievalShard
from workers.memory.shard_log import ShardLog
from workers.memory.shipping import ShipHandlers
from workers.memory.upkeep import Upkeep
from workers.node import Node
from workers.wire.ended import Ended
from workers.wire.kinds.memory import (
    Hits,
    MemoryState,
    MemoryStateIs,
    Search,
    ShardAdd,
    ShardCreate,
    ShardDelete,
    ShardDeleted,
    ShardRead,
    ShardSize,
    ShardTakeBack,
    ShardTexts,
)
from workers.wire.message import Message
from workers.wire.watch import says_so

T = TypeVar("T")

# What changes a shard and its log, of whatever size, is done by one thread in the order in which it
# came: that of large jobs, the oldest of equals first.
FILE_SIZE = SMALL_MAX


class MemoryServer:
    """Handlers only: what queues here are the tiers of the node's hardware.

    tier             where collections live ("hbf", "ddr", ...)
    pool_tier        where KV blocks live
    engine           that searches
    pool_bytes       capacity of the KV pool; 0 refuses all blocks

    What an earlier incarnation left on the disk is there again: collections, and a pool whose tier
    has a file.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        *,
        tier: str,
        pool_tier: str,
        pool_bytes: int,
        engine: str = MAIN_ENGINE,
    ) -> None:
        self._node, self._name, self._tier, self._engine = node, name, tier, engine
        port = node.port(name)
        found = load_logs(node.disk, name)
        self._shards = {store: shard for store, (_, shard) in found.items()}
        self._logs = {store: log for store, (log, _) in found.items()}
        ShipHandlers(node, port, self._shard, tier)
        self.pool = open_pool(node, port, name, pool_tier, pool_bytes)
        self.flash_wear = wear_teller(node, self.pool, pool_tier)
        self._upkeep = Upkeep(node, tier, self._shards, self._logs, self._beside)
        # Stores that were deleted: what was said of them before must not bring them back.
        self._ended = Ended()
        says_so(port)
        port.on(ShardCreate, self._store_create)
        port.on(ShardAdd, self._store_add)
        port.on(ShardTakeBack, self._store_take_back)
        port.on(ShardDelete, self._store_delete)
        port.on(Search, self._search)
        port.on(ShardRead, self._store_read)
        port.on(MemoryState, self._state)

    # -- retrieval ---------------------------------------------------------------------------------

    def _file(self, store: str) -> str:
        """Two servers may share a node's disk."""
        return f"{self._name}/{store}"

    def _shard(self, store: str) -> RetrievalShard:
        if store not in self._shards:
            known = ", ".join(self._shards) or "none"
            raise NotFound(f"{self._name} has no vector store {store!r}; it has {known}")
        return self._shards[store]

    async def _beside(self, change: Callable[[], T]) -> T:
        """Change a shard's files. Raises PerfuseError where the disk fails."""
        return await self._node.hardware.beside(FILE_SIZE, lambda: self._tried(change))

    def _tried(self, change: Callable[[], T]) -> T:
        try:
            return change()
        except OSError as error:
            raise PerfuseError(f"{self._name} cannot write to its disk: {error}") from error

    async def _store_create(self, message: Message[ShardCreate]) -> None:
        """An empty shard, durable from now on; one that is here already stays as it is."""
        self._ended.check(message)
        store, dim = message.content.store, message.content.dim
        if store in self._shards:
            return
        try:
            choice = IndexChoice.from_plain(message.content.index)
            self._shards[store] = shard = RetrievalShard(dim, choice)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error

        def make() -> None:
            if self._shards.get(store) is shard:  # else it was deleted meanwhile
                self._logs.pop(store, None)
                self._logs[store] = ShardLog.make(self._node.disk, self._file(store), dim, choice)

        try:
            await self._beside(make)
        except PerfuseError:
            if self._shards.get(store) is shard:
                del self._shards[store]
            raise

    async def _store_add(self, message: Message[ShardAdd]) -> ShardSize:
        """Make passages durable, then add them: the answer means that a crash will not lose
        them.
        """
        self._ended.check(message)
        content = message.content
        shard = self._shard(content.store)

        def add() -> None:
            if self._shards.get(content.store) is not shard or content.store not in self._logs:
                raise NotFound(f"vector store {content.store!r} was deleted meanwhile")
            what = content.passage_id, content.vectors, content.texts, content.file_ids
            shard.check(*what)
            self._logs[content.store].add(*what)
            shard.add(*what)

        try:
            await self._paid(shard, content, add)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        if content.preloaded:
            await self._upkeep.now(content.store)
        else:
            self._upkeep.soon(content.store)
        return ShardSize(shard.num_passages, shard.bytes_held())

    async def _paid(
        self, shard: RetrievalShard, content: ShardAdd, add: Callable[[], None]
    ) -> None:
        """Do what `add` does, as long as the machine takes for it."""
        if content.preloaded:  # written before the cluster started: costs nothing now
            await self._beside(add)
            return
        if shard.choice.kind == "exact":
            work = shard.add_work(content.vectors, self._tier)._replace(host_size=FILE_SIZE)
            await self._node.hardware.run(work, lambda: self._tried(add))
            return

        # Engines work on it, and yet it is done in the order of all changes.
        def filed() -> Work:
            add()
            return shard.add_work(content.vectors, self._tier)

        await self._node.hardware.run(await self._beside(filed), list)

    async def _store_take_back(self, message: Message[ShardTakeBack]) -> ShardSize:
        """Whatever of it is here goes, for good, and what is still on its way is refused."""
        self._ended.check(message)
        content = message.content
        shard = self._shard(content.store)

        def take_back() -> None:
            if self._shards.get(content.store) is shard:
                ids = range(content.first_id, content.first_id + content.num_passages)
                num_gone = shard.take_back(ids)
                self._logs[content.store].take_back(ids, num_gone, shard)

        await self._beside(take_back)
        return ShardSize(shard.num_passages, shard.bytes_held())

    async def _store_delete(self, message: Message[ShardDelete]) -> ShardDeleted:
        self._ended.note(message)
        store = message.content.store
        known = self._shards.pop(store, None) is not None

        def delete() -> None:
            """A store that failed to be deleted is one that the next incarnation may find."""
            log = self._logs.get(store)
            if log is not None and store not in self._shards:
                log.delete()
                del self._logs[store]

        if known or store in self._logs:
            await self._beside(delete)
        return ShardDeleted(known)

    async def _search(self, message: Message[Search]) -> Hits:
        """The best `top_k` passages of this shard for each query [q, dim]."""
        content = message.content
        shard = self._shard(content.store)
        among = IdRanges.of(content.first, content.stop)
        try:
            plan = shard.plan(content.queries, content.top_k, among)
            work = plan.work(self._tier).on(self._engine)
            found = await self._node.hardware.run(work, plan.find)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return Hits(tuple(map(tuple, found)))

    async def _store_read(self, message: Message[ShardRead]) -> ShardTexts:
        content = message.content
        shard = self._shard(content.store)
        ids = range(content.first_id, content.first_id + content.num_passages)
        found = await self._node.hardware.beside(FILE_SIZE, lambda: shard.texts_of(ids))
        num_bytes = sum(len(text.encode()) for _, text in found)
        await self._node.hardware.run(Work.of("store_read", reads={self._tier: num_bytes}), list)
        return ShardTexts(np.array([i for i, _ in found], np.int64), tuple(t for _, t in found))

    def _state(self, message: Message[MemoryState]) -> MemoryStateIs:
        return MemoryStateIs(
            {name: s.num_passages for name, s in self._shards.items()},
            sum(s.bytes_held() for s in self._shards.values()),
            self.pool.num_blocks,
            self.pool.bytes_held,
            self.pool.num_pinned,
        )
